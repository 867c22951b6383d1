"""How often a password may be guessed: token buckets of failed sign-ins, in the database, which all servers share.

An attempt is charged before the password is looked at, so many at once get no more than one after the other, and what
succeeds is given back. Each username has a bucket, and each address. Whoever keeps one of them empty keeps strangers
away from it, but no device on which the user has signed in before: that has a bucket of its own, so that nobody is
locked out by others. (Links and keys are not throttled either: nobody guesses 256 bits.)

A bucket is one number: when it will be full again. A full one needs no row, so there are only those of the last window.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import ipaddress
import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import case, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from app.accounts.tables import RateBucket, SignInBucket
from app.db.unit_of_work import UnitOfWork
from app.errors import Code, GradbookError

Charges = Mapping[str, tuple[float, float]]
"""By a bucket's key: how many seconds one attempt costs, and how many the whole bucket is."""

_FORGOTTEN = 1000  # rows that are cleared away at a time: no fewer than are made
_NOTED = 100  # failures that the audit log takes in ten minutes: guesses must not fill the disk
_NOTES = {"noted": (600 / _NOTED, 600.0)}
_DEVICE = 16  # bytes


@dataclass(frozen=True, slots=True)
class SignInLimits:
    """How many failed sign-ins are let through in a window: of one username, or one device, and from one address."""

    attempts: int = 10
    address_attempts: int = 50
    window: datetime.timedelta = datetime.timedelta(minutes=10)

    def charges(self, username: str, address: str | None, device: str | None) -> Charges:
        """What an attempt is charged to. `device` is one that the user is known by."""
        seconds = self.window.total_seconds()
        if device is not None:
            return {bucket_key("device", device): (seconds / self.attempts, seconds)}
        return {
            bucket_key("username", username): (seconds / self.attempts, seconds),
            bucket_key("address", network(address)): (seconds / self.address_attempts, seconds),
        }


DEFAULT_LIMITS = SignInLimits()


def charge(uow: UnitOfWork, charges: Charges) -> None:
    """Take one attempt out of every bucket, or raise RATE_LIMITED and take none."""
    if _take(uow, charges) == len(charges):
        return
    stored = uow.connection.execute(
        select(SignInBucket.key, SignInBucket.full_at).where(SignInBucket.key.in_(charges))
    ).all()
    now = uow.now.timestamp()
    waits = [full_at - now + charges[key][0] - charges[key][1] for key, full_at in stored]
    seconds = max(1, math.ceil(max(waits, default=1)))
    message = f"Too many sign-ins failed: try again in {seconds} seconds. A sign-in link or an API key works meanwhile."
    raise GradbookError(Code.RATE_LIMITED, message, retry_after=seconds)


def refund(uow: UnitOfWork, charges: Charges) -> None:
    """Give back what an attempt was charged: it succeeded."""
    cost = case({key: cost for key, (cost, _) in charges.items()}, value=SignInBucket.key)
    uow.connection.execute(
        update(SignInBucket).where(SignInBucket.key.in_(charges)).values(full_at=SignInBucket.full_at - cost)
    )


def forget_full(
    uow: UnitOfWork, table: type[SignInBucket | RateBucket] = SignInBucket, now: float | None = None
) -> None:
    """Clear away buckets that are full again; others' locked ones are left to them."""
    full = (
        select(table.key)
        .where(table.full_at <= (uow.now.timestamp() if now is None else now))
        .order_by(table.full_at)
        .limit(_FORGOTTEN)
        .with_for_update(skip_locked=True)
    )
    uow.connection.execute(delete(table).where(table.key.in_(full)))


def may_note_failure(uow: UnitOfWork) -> bool:
    """Whether the audit log takes one more failed sign-in now."""
    return _take(uow, _NOTES) == 1


def network(address: str | None) -> str:
    """What counts as one address: of IPv6 the /64, of which everybody has one to themselves."""
    try:
        ip = ipaddress.ip_address(address or "")
    except ValueError:
        return str(address)
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.ip_network((int(ip) >> 64 << 64, 64)))
    return str(ip)


def bucket_key(kind: str, value: str) -> str:
    """What a row says whose bucket it is."""
    return hashlib.sha256(f"{kind} {value}".encode(errors="surrogatepass")).hexdigest()


def device_token(stored: str, device: str | None) -> str:
    """What a device shows at its user's next sign-in. `stored` is the password's hash: a new password ends it."""
    device = device or secrets.token_urlsafe(_DEVICE)
    return f"{device}.{_signature(stored, device)}"


def known_device(stored: str | None, token: str | None) -> str | None:
    """The device that this token of `device_token` is of; None for one that was made by nobody, or for another user."""
    device, _, signature = (token or "").partition(".")
    is_right = hmac.compare_digest(signature.encode(), _signature(stored or "", device).encode())
    return device if is_right and stored else None


def _signature(stored: str, device: str) -> str:
    # The hash has 128 random bits of salt, which nobody guesses beside the password.
    return hmac.digest(stored.encode(), f"device {device}".encode(), "sha256").hex()


def _take(uow: UnitOfWork, charges: Charges) -> int:
    """Charge those buckets that have enough, in the order of their keys, and return how many they were."""
    now = uow.now.timestamp()
    on = postgresql if uow.dialect_name == "postgresql" else sqlite
    rows = [{"key": key, "full_at": now + cost} for key, (cost, _) in sorted(charges.items())]
    write = on.insert(SignInBucket).values(rows)
    left = case((SignInBucket.full_at > now, SignInBucket.full_at), else_=now) - now
    whole = case({key: size for key, (_, size) in charges.items()}, value=SignInBucket.key)
    after = write.excluded.full_at + left
    charged = write.on_conflict_do_update(
        index_elements=["key"], set_={"full_at": after}, where=after <= now + whole + _ROUNDING
    )
    return len(uow.connection.execute(charged.returning(SignInBucket.key)).all())


_ROUNDING = 1e-3  # seconds: sums of parts of the window may come out a little above it
