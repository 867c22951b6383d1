"""The pages run over the same book as the tests of the interface."""

from tests.api.conftest import empty_book as empty_book
