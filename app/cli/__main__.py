"""`python -m app.cli` is `gradbook`."""

from app.cli import main

main()
