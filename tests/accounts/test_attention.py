"""Nobody keeps a server from all others for long."""

from __future__ import annotations

import asyncio

import pytest

from app import settings
from app.accounts.attention import DEBT, MAX_CALLERS, MOMENT, PATIENCE, SHARES, WINDOW, Attention
from app.accounts.budgets import Budgeted
from app.errors import GradbookError
from app.graphql.spent import Spent


class Clock:
    """The time, which passes when it is told to."""

    now = 50.0

    def __call__(self) -> float:
        return self.now


def spent(busy: float, passed: float | None = None) -> Spent:
    """So much was computed, and so much time passed."""
    made = Spent(busy)
    made.passed = busy if passed is None else passed
    return made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def attention(clock: Clock) -> Attention:
    """Of a server where many ask: each has one share."""
    attention = Attention(clock)
    for number in range(SHARES):
        attention.wait(f"somebody {number}")
    return attention


def test_a_share_of_some_seconds_is_there_at_once_and_comes_back(attention: Attention, clock: Clock) -> None:
    attention.take("ann", spent(0.2 * WINDOW), share=0.2)
    assert attention.wait("ann") <= 0
    attention.take("ann", spent(0.5), share=0.2)
    assert attention.wait("ann") == pytest.approx(2.5)
    assert attention.wait("ben") < 0
    clock.now += 2.5
    assert attention.wait("ann") <= 0


def test_nobody_waits_longer_than_the_debt(attention: Attention, clock: Clock) -> None:
    attention.take("ann", spent(1000), share=0.2)
    clock.now += DEBT
    assert attention.wait("ann") <= 0


def test_only_so_many_callers_are_remembered(clock: Clock) -> None:
    attention = Attention(clock)
    for number in range(MAX_CALLERS + 1):
        attention.take(number, spent(10), share=0.2)
    assert attention.wait(0) <= 0
    assert attention.wait(1) > 0


async def test_one_request_waits_a_while_and_others_are_refused(attention: Attention, clock: Clock) -> None:
    attention.take("ann", spent(1.01), share=0.2)
    first = asyncio.create_task(attention.admit("ann"))
    await asyncio.sleep(0)
    with pytest.raises(GradbookError, match="try again in 1 second"):
        await attention.admit("ann")
    await attention.admit("ben")
    assert not first.done()
    await first
    again = asyncio.create_task(attention.admit("ann"))
    await asyncio.sleep(0)
    again.cancel()
    await asyncio.wait([again])
    clock.now += 1
    await attention.admit("ann")
    attention.take("cem", spent(1 + 0.2 * PATIENCE + 0.1), share=0.2)
    with pytest.raises(GradbookError, match=r"GRADBOOK_ATTENTION_PERCENT.*try again in 11 seconds") as refused:
        await attention.admit("cem")
    assert (refused.value.code, refused.value.retry_after) == ("RATE_LIMITED", 11)


def test_who_is_alone_has_several_shares_and_of_many_each_has_one(clock: Clock) -> None:
    attention = Attention(clock)

    def take(caller: str, shares: float) -> None:
        attention.wait(caller)
        attention.take(caller, spent(0.1 * shares * WINDOW), share=0.1)

    take("ann", 0.9 * SHARES)
    take("ben", 0.9 * SHARES / 2)
    assert attention.wait("ben") <= 0
    for number in range(SHARES):
        attention.wait(number)
    take("cem", 0.9)
    take("cem", 0.2)
    assert attention.wait("cem") > 0
    clock.now += 2 * WINDOW
    take("ann", 0.9 * SHARES)
    assert attention.wait("ann") <= 0


def test_moments_are_not_counted(clock: Clock) -> None:
    attention = Attention(clock)
    for _ in range(10_000):
        attention.take("ann", spent(0.9 * MOMENT, passed=1), share=0.2)
    assert attention.wait("ann") <= 0


def test_counted_is_the_time_that_passes_up_to_some_times_of_what_is_computed(attention: Attention) -> None:
    attention.take("ann", spent(0.5, passed=1.1), share=0.2)
    attention.take("ben", spent(0.3, passed=2), share=0.2)
    assert attention.wait("ann") > 0
    assert attention.wait("ben") <= 0


def test_strangers_have_a_part_of_the_share() -> None:
    assert Budgeted.by(settings.load()).attention == 0.1
    assert Budgeted.by(settings.load()).anonymous_attention == pytest.approx(0.01)
    without = Budgeted.by(settings.load(attention_percent=100))
    assert (without.attention, without.anonymous_attention) == (1, 1)
