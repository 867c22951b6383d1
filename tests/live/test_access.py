"""Open connections end when their grant does, from this process and from another."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection

import pytest

from app.db import Database
from app.live import Bus, open_bus
from app.live.access import ACCESS, PAUSE_SECONDS, AccessWatch, Grant
from tests.live.processes import POLL_SECONDS, OtherProcess, execute

PROMPT = 5.0

ALICE, BOB = Grant(1, 11, "ADMIN"), Grant(2, 12, "ANNOTATOR")


class Grants:
    """What holds, as rows of `live_item`: the id is the credential's, the value the user's."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.asked: list[frozenset[Grant]] = []
        self.failures = 0

    async def still_valid(self, grants: Collection[Grant]) -> Collection[Grant]:
        self.asked.append(frozenset(grants))
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the database is away")
        rows = {(id_, value) for id_, value in await self._database.read("SELECT id, value FROM live_item")}
        return {grant for grant in grants if (grant.credential_id, grant.user_id) in rows}


class Socket:
    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.ends = 0

    async def end(self) -> None:
        self.ends += 1
        self.ended.set()


@pytest.fixture
async def grants(database: Database, items: None) -> Grants:
    rows = [(f"INSERT INTO live_item VALUES ({grant.credential_id}, {grant.user_id}, 1)", ()) for grant in (ALICE, BOB)]
    await database.transact(execute, rows, [])
    return Grants(database)


@pytest.fixture
async def watch(bus: Bus, grants: Grants) -> AsyncIterator[AccessWatch]:
    watch = AccessWatch(bus, grants.still_valid)
    await watch.start()
    yield watch
    await watch.close()


REVOKE_ALICE = [("DELETE FROM live_item WHERE id = 1", ())]


async def ended(socket: Socket, seconds: float = PROMPT) -> bool:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(socket.ended.wait(), seconds)
    return socket.ended.is_set()


async def settled() -> None:
    """Past the looks that new connections, and the bus when it begins to listen, cause."""
    await asyncio.sleep(3 * PAUSE_SECONDS)


async def test_connections_of_a_revoked_credential_end_and_others_stay(
    database: Database, watch: AccessWatch, grants: Grants
) -> None:
    one, two, bob = Socket(), Socket(), Socket()
    with watch.connection(ALICE, one.end), watch.connection(ALICE, two.end), watch.connection(BOB, bob.end):
        await settled()
        assert not one.ended.is_set()
        await database.transact(execute, REVOKE_ALICE, [ACCESS])
        assert await ended(one)
        assert await ended(two)
        await settled()
        await database.transact(execute, [], [ACCESS])
        await settled()
        assert (one.ends, two.ends, bob.ends) == (1, 1, 0)
        assert grants.asked[-1] == {BOB}


async def test_a_revocation_in_another_process_is_heard(watch: AccessWatch, other: OtherProcess) -> None:
    alice, bob = Socket(), Socket()
    with watch.connection(ALICE, alice.end), watch.connection(BOB, bob.end):
        await settled()
        await other.write(REVOKE_ALICE, [ACCESS])
        assert await ended(alice)
        assert not bob.ended.is_set()


async def test_a_grant_is_the_user_and_the_kind_too(database: Database, watch: AccessWatch) -> None:
    """A credential that means somebody else by now, or an ADMIN who became an ANNOTATOR, is another grant."""
    alice = Socket()
    with watch.connection(ALICE, alice.end):
        await settled()
        await database.transact(execute, [("UPDATE live_item SET value = 99 WHERE id = 1", ())], [ACCESS])
        assert await ended(alice)


async def test_what_ended_between_authentication_and_registration_is_found(
    database: Database, watch: AccessWatch
) -> None:
    await database.transact(execute, REVOKE_ALICE, [ACCESS])
    alice = Socket()
    with watch.connection(ALICE, alice.end):
        assert await ended(alice)


async def test_the_same_among_other_connections(database: Database, watch: AccessWatch) -> None:
    alice, bob = Socket(), Socket()
    with watch.connection(BOB, bob.end):
        await settled()
        await database.transact(execute, REVOKE_ALICE, [ACCESS])
        await settled()
        with watch.connection(ALICE, alice.end):
            assert await ended(alice)


async def test_what_expires_is_found_by_the_clock(database: Database, grants: Grants) -> None:
    """Nobody publishes an expiry."""
    async with open_bus(database, poll_seconds=POLL_SECONDS, heal_seconds=0.3) as bus:
        watch = AccessWatch(bus, grants.still_valid)
        await watch.start()
        alice = Socket()
        with watch.connection(ALICE, alice.end):
            await settled()
            await database.transact(execute, REVOKE_ALICE, [])
            assert await ended(alice)
        await watch.close()


async def test_many_changes_are_one_look(database: Database, watch: AccessWatch, grants: Grants) -> None:
    bob = Socket()
    with watch.connection(BOB, bob.end):
        await settled()
        del grants.asked[:]
        for _ in range(50):
            await database.transact(execute, [], [ACCESS])
            await asyncio.sleep(PAUSE_SECONDS / 50)
        await settled()
        assert 1 <= len(grants.asked) <= 6


async def test_a_database_that_is_away_is_asked_again(database: Database, watch: AccessWatch, grants: Grants) -> None:
    alice = Socket()
    with watch.connection(ALICE, alice.end):
        await settled()
        grants.failures = 2
        await database.transact(execute, REVOKE_ALICE, [ACCESS])
        assert await ended(alice)
        assert grants.failures == 0


async def test_a_socket_that_cannot_be_closed_holds_up_nobody(database: Database, watch: AccessWatch) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    async def fail() -> None:
        raise ConnectionResetError

    alice, bob = Socket(), Socket()
    with watch.connection(ALICE, hang), watch.connection(ALICE, fail), watch.connection(ALICE, alice.end):
        await settled()
        await database.transact(execute, REVOKE_ALICE, [ACCESS])
        assert await ended(alice)
        with watch.connection(BOB, bob.end):
            await database.transact(execute, [("DELETE FROM live_item", ())], [ACCESS])
            assert await ended(bob)


async def test_nothing_is_asked_without_connections(
    database: Database, bus: Bus, watch: AccessWatch, grants: Grants
) -> None:
    await database.transact(execute, [], [ACCESS])
    await settled()
    alice = Socket()
    with watch.connection(ALICE, alice.end):
        await settled()
    asked = len(grants.asked)
    assert asked
    await database.transact(execute, [], [ACCESS])
    await settled()
    assert len(grants.asked) == asked
    with watch.connection(BOB, alice.end):
        await settled()
    assert grants.asked[-1] == {BOB}


async def test_the_watch_goes_on_after_all_connections_were_ended(database: Database, watch: AccessWatch) -> None:
    alice, bob = Socket(), Socket()
    with watch.connection(ALICE, alice.end):
        await settled()
        await database.transact(execute, REVOKE_ALICE, [ACCESS])
        assert await ended(alice)
        with watch.connection(BOB, bob.end):
            await settled()
            assert not bob.ended.is_set()
            await database.transact(execute, [("DELETE FROM live_item", ())], [ACCESS])
            assert await ended(bob)
