import time
import unicodedata

import pytest
from argon2 import PasswordHasher

from app.accounts.passwords import hash_password, needs_rehash, verify_password
from app.errors import GradbookError

GOOD = "correct horse"


async def test_a_hash_knows_its_password_and_no_other() -> None:
    stored = await hash_password(GOOD)

    assert stored.startswith("$argon2id$")
    assert await verify_password(stored, GOOD)
    assert not await verify_password(stored, GOOD + " ")
    assert stored != await hash_password(GOOD), "salted"


async def test_what_looks_the_same_is_the_same() -> None:
    composed, split = (unicodedata.normalize(form, "Ünïcödé pass") for form in ("NFC", "NFD"))
    assert composed != split

    assert await verify_password(await hash_password(composed), split)


@pytest.mark.parametrize(
    ("password", "says"),
    [
        ("", "it has 0 characters: use at least 8"),
        ("sevenxx", "it has 7 characters: use at least 8"),
        ("x" * 1025, "it is 1,025 bytes long: use at most 1,024"),
        ("ü" * 513, "it is 1,026 bytes long"),
        ("half \ud83d of a pair", "half of a surrogate pair"),
    ],
    ids=["empty", "short", "long", "long in bytes", "surrogate"],
)
async def test_rules(password: str, says: str) -> None:
    with pytest.raises(GradbookError, match=says) as caught:
        await hash_password(password)

    assert (caught.value.code, caught.value.path) == ("INVALID_INPUT", ("password",))
    assert not password or password not in caught.value.message
    assert not await verify_password(await hash_password(GOOD), password), "signing in with it is only wrong"


@pytest.mark.parametrize("password", ["12345678", "x" * 1024, "パスワードです。"], ids=["short", "long", "Japanese"])
async def test_limits_are_allowed(password: str) -> None:
    assert await verify_password(await hash_password(password), password)


@pytest.mark.parametrize("stored", ["", "no hash", "$argon2id$v=19$m=65536,t=3,p=4$broken"])
async def test_a_broken_hash_lets_nobody_in(stored: str) -> None:
    assert not await verify_password(stored, GOOD)


async def test_without_a_hash_it_takes_as_long() -> None:
    """Within a factor of 2.5, the best of several turns; skipping the work would be a factor of thousands."""

    async def seconds(stored: str | None) -> float:
        began = time.perf_counter()
        assert not await verify_password(stored, "wrong password")
        return time.perf_counter() - began

    stored = await hash_password(GOOD)
    known, unknown = zip(*[(await seconds(stored), await seconds(None)) for _ in range(5)], strict=True)
    assert 1 / 2.5 < min(known) / min(unknown) < 2.5


async def test_other_parameters_ask_for_a_new_hash() -> None:
    assert needs_rehash(PasswordHasher(time_cost=1, memory_cost=8192).hash(GOOD))
    assert not needs_rehash(await hash_password(GOOD))
