"""One read and one encoding for all who follow the same thing.

Whoever follows a feed is in a *cohort*: those who follow the same operation, with equal variables and an equal scope,
and have got everything up to the same position. A cohort is one task. It takes the next batch from that position,
encodes it once, begins to send it to every member, and is then at the batch's end, with all whose sockets took it at
once. A member whose socket did not leaves the cohort, finishes that message in a task of its own, and then goes where
others are at that position, or begins a cohort there. So a new subscriber, a slow one and one that resumes are the same
thing: they read on from where they are, in larger pieces if much has happened, and meet the others at the present.
Nothing is queued: a member holds the one message that is being sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Hashable, Iterable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

BURST = 100
"""After so many messages others get their turn on the event loop."""


class Message(NamedTuple):
    """A result as JSON, and the cursor that goes on after it."""

    text: str
    cursor: str = ""


Send = Callable[[Message], Coroutine[Any, Any, None]]
"""Sends a message. It may begin in one task and go on in another: nothing in it may belong to a task, as a timeout."""


class Batch(Protocol):
    """What a read found."""

    @property
    def payload(self) -> Any:
        """The event; None if there is nothing to tell."""

    @property
    def cursor(self) -> Hashable:
        """The position after it."""


@runtime_checkable
class Feed(Protocol):
    """What a subscription's resolver returns for a stream that can be read from any position, by anybody alike."""

    start: Any
    """Where this subscriber begins."""

    def batches(self, position: Any) -> AsyncGenerator[Batch, None]:
        """What comes after a position, then after each batch. It may differ between subscribers by nothing else."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What the members of a cohort have in common: `key` beside the operation, whose cohorts `cohorts` are."""

    cohorts: dict[tuple[Hashable, Hashable], _Cohort]
    key: Hashable
    feed: Feed
    encode: Callable[[Any], Awaitable[Message]]
    """What is sent of an event."""


async def follow(shared: Shared, send: Send) -> None:
    """Send what the feed has, from its start on, until it ends. Raises what ended it, or what `send` raised."""
    member = _Member(shared, send)
    position = shared.feed.start
    try:
        while True:
            member.turn = asyncio.get_running_loop().create_future()
            _enter(member, position)
            position = await member.turn
            if member.sending is None:
                return
            await member.sending
            member.sending = None
    finally:
        member.leave()


class _Member:
    """A subscriber. `turn` is done when the cohort cannot go on with it: by the position where it goes on by itself."""

    __slots__ = ("cohort", "send", "sending", "shared", "turn")

    def __init__(self, shared: Shared, send: Send) -> None:
        self.shared = shared
        self.send = send
        self.turn: asyncio.Future[Hashable]
        self.cohort: _Cohort | None = None
        self.sending: _Begun | None = None

    def leave(self) -> None:
        """Leave the cohort, and send no more."""
        if self.cohort is not None:
            self.cohort.lose(self)
        if self.sending is not None:
            self.sending.close()


def _enter(member: _Member, position: Hashable) -> None:
    """Join those at this position."""
    shared = member.shared
    cohort = shared.cohorts.get((shared.key, position))
    if cohort is None:
        cohort = _Cohort(shared, position)
    cohort.members[member] = None
    member.cohort = cohort


class _Cohort:
    """Members at one position, and the task that reads on for them."""

    def __init__(self, shared: Shared, position: Hashable) -> None:
        self._shared = shared
        self._position = position
        self._delivering = False
        self.members: dict[_Member, None] = {}
        self._appear(position)
        self._task = asyncio.create_task(self._run(), name="cohort")

    def lose(self, member: _Member) -> None:
        """The member listens no more. The work ends with the last one."""
        self.members.pop(member, None)
        if not self.members and not self._delivering:
            self._disappear()
            # One turn later: in this one graphql-core may have made coroutines that warn if they never begin.
            asyncio.get_running_loop().call_soon(self._task.cancel)

    def _appear(self, position: Hashable) -> None:
        """Be where new members of this position come, unless another cohort is."""
        self._position = position
        self._shared.cohorts.setdefault((self._shared.key, position), self)

    def _disappear(self) -> None:
        place = (self._shared.key, self._position)
        if self._shared.cohorts.get(place) is self:
            del self._shared.cohorts[place]

    async def _run(self) -> None:
        end: Exception | None = RuntimeError("What is read for a subscription was cancelled while others followed it.")
        try:
            async with aclosing(self._shared.feed.batches(self._position)) as batches:
                async for batch in batches:
                    message = None if batch.payload is None else await self._shared.encode(batch.payload)
                    await self._advance(message, batch.cursor)
                    if not self.members:
                        break
                self._disappear()  # at once: to close the feed may take a while
            end = None
        except Exception as error:  # noqa: BLE001 - it is the members'
            end = error
        finally:
            self._disappear()
            self._end(end)

    async def _advance(self, message: Message | None, position: Hashable) -> None:
        """Take all members to this position, by this message if there is one."""
        # From here on nobody joins those who get it: whoever comes to the old position begins a cohort there.
        self._disappear()
        self._appear(position)
        if message is None and self._shared.cohorts[self._shared.key, position] is self:
            return
        members, self.members = self.members, {}
        self._delivering = True
        try:
            await self._deliver(members, message, position)
        except BaseException:
            self.members = {member: None for member in (*members, *self.members) if member.cohort is self}
            raise
        finally:
            self._delivering = False

    async def _deliver(self, members: Iterable[_Member], message: Message | None, position: Hashable) -> None:
        for number, member in enumerate(members, 1):
            if member.turn.done():
                continue  # it left while others had their turn
            if message is None or _sent(member, message):
                _enter(member, position)
            elif not member.turn.done():
                member.cohort = None
                member.turn.set_result(position)
            if number % BURST == 0:
                await asyncio.sleep(0)

    def _end(self, error: Exception | None) -> None:
        for member in self.members:
            if not member.turn.done():
                member.cohort = None
                if error is None:
                    member.turn.set_result(None)
                else:
                    member.turn.set_exception(error)


def _sent(member: _Member, message: Message) -> bool:
    """Begin to send. False if it is not done by now: then `sending` is the rest of it, or it has failed."""
    sending = member.send(message)
    try:
        waits_for = sending.send(None)
    except StopIteration:
        return True
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - it is the member's
        member.cohort = None
        member.turn.set_exception(error)
    else:
        member.sending = _Begun(sending, waits_for)
    return False


class _Begun(Awaitable[None]):
    """A coroutine that ran, in one task, up to where it waits; the rest runs in the task that awaits this."""

    def __init__(self, coroutine: Coroutine[Any, Any, None], waits_for: Any) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, None]:
        try:
            yield self._waits_for
        except BaseException as error:
            with suppress(StopIteration):
                self._coroutine.throw(error)
            raise
        yield from self._coroutine.__await__()

    def close(self) -> None:
        """Give it up, wherever it is, as if the task that it runs in were cancelled.

        To close it is not enough: of a lock that it was just handed it would not tell the next who waits.
        """
        with suppress(Exception, asyncio.CancelledError):  # also that it has come to its end
            self._coroutine.throw(asyncio.CancelledError())
        self._coroutine.close()
