"""Reports arrive exactly once, whole or not at all, whoever sends them at once."""

from __future__ import annotations

import asyncio
import datetime
import math
from collections.abc import Awaitable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from app.accounts.access import OPERATOR
from app.accounts.tables import Role
from app.accounts.users import NewUser, create_user
from app.accounts.viewer import Viewer
from app.accounts.workspaces import create_workspace
from app.db import Database, UnitOfWork
from app.errors import GradbookError
from app.training.tables import TaskStatus, TrainTask
from tests.training.tasks import NOW, Run, Series, insert_task, series


@pytest.fixture
async def run(database: Database) -> Run:
    return await Run.make(database)


async def summaries(run: Run) -> dict[str, tuple[Any, ...]]:
    rows = await run.database.read(
        "SELECT name, points, non_finite_count, last, last_state, last_step, min, min_step, max, max_step,"
        " lowest_step, highest_step FROM metric ORDER BY name"
    )
    return {row[0]: row[1:] for row in rows}


async def refused(report: Awaitable[Any]) -> GradbookError:
    with pytest.raises(GradbookError) as caught:
        await report
    return caught.value


async def test_points_are_stored_in_order_of_arrival_with_what_they_come_to(run: Run) -> None:
    assert await run.report(0, series("loss", [1, 2], [0.5, 0.25]), step=2, epoch=0.5) == (2, 1, False)
    assert await run.report(1, series("loss", [2, 1], ["NaN", 0.25], [7, 8]), series("lr", [0], [1])) == (3, 2, False)
    assert await run.points() == {
        "loss": [(1, 0.5, NOW, 0), (2, 0.25, NOW, 0), (2, pytest.approx(math.nan, nan_ok=True), 7, 1), (1, 0.25, 8, 1)],
        "lr": [(0, 1.0, NOW, 1)],
    }
    assert await summaries(run) == {
        "loss": (4, 1, 0.25, "FINITE", 1, 0.25, 2, 0.5, 1, 1, 2),
        "lr": (1, 0, 1.0, "FINITE", 0, 1.0, 0, 1.0, 0, 0, 0),
    }
    row = await run.row()
    assert (row.step, row.epoch, row.next_arrival) == (2, 0.5, 2)


async def test_extremes_are_of_finite_values_and_the_state_of_the_last(run: Run) -> None:
    await run.report(0, series("a", [5], ["Infinity"]))
    assert (await summaries(run))["a"] == (1, 1, None, "INFINITE", 5, None, None, None, None, 5, 5)
    await run.report(1, series("a", [6], [-1.0]))
    await run.report(2, series("a", [7, 4], [2.0, "NaN"]))
    assert (await summaries(run))["a"] == (4, 2, 2.0, "NAN", 4, -1.0, 6, 2.0, 7, 4, 7)
    await run.report(3, series("a", [9, 8], [-1.0, 2.0]))  # an extreme that is reached again stays where it was
    assert (await summaries(run))["a"] == (6, 2, 2.0, "FINITE", 8, -1.0, 6, 2.0, 7, 4, 9)


async def test_the_same_report_again_stores_nothing(run: Run) -> None:
    first = series("loss", [1], [0.5])
    await run.report(0, first)
    assert await run.report(0, first, now=NOW + 5) == (0, 1, False)
    await run.report(1, series("loss", [2], [0.25]), step=2)
    before = await run.points(), await run.row()
    assert await run.report(0, first) == (0, 2, False)
    assert await run.report(1, series("loss", [2], [0.25]), step=2) == (0, 2, False)
    after = await run.row()
    assert await run.points() == before[0]
    assert (after.step, after.next_arrival, after.updated_at) == (2, 2, before[1].updated_at)


@pytest.mark.parametrize(
    ("other", "given"),
    [
        (series("loss", [1], [0.75]), {}),
        (series("loss", [2], [0.5]), {}),
        (series("lr", [1], [0.5]), {}),
        (series("loss", [1], [0.5], [NOW]), {}),
        (series("loss", [1], [0.5]), {"step": 1}),
        (series("loss", [1], [0.5]), {"epoch": 1.0}),
    ],
)
async def test_the_same_number_with_other_content_is_a_conflict(run: Run, other: Series, given: dict[str, Any]) -> None:
    await run.report(0, series("loss", [1], [0.5]))
    before = await run.points(), await run.row()
    error = await refused(run.report(0, other, **given))
    assert (error.code, error.path) == ("SEQUENCE_CONFLICT", ("sequence",))
    assert "the next is 1" in error.message
    assert (await run.points(), await run.row()) == before


async def test_a_gap_names_the_number_that_is_expected(run: Run) -> None:
    error = await refused(run.report(3, series("loss", [1], [0.5])))
    assert error.code == "SEQUENCE_GAP"
    assert "is expected to send report 0, not 3" in error.message
    await run.report(0, series("loss", [1], [0.5]))
    assert "report 1, not 2" in (await refused(run.report(2, series("loss", [1], [0.5])))).message
    assert len((await run.points())["loss"]) == 1


async def test_each_source_numbers_its_reports(run: Run) -> None:
    await run.report(0, series("loss", [1], [0.5]), source="rank 0")
    await run.report(0, series("loss", [1], [0.25]), source="rank 1")
    await run.report(1, series("loss", [2], [0.125]), source="rank 0")
    assert [(point[1], point[3]) for point in (await run.points())["loss"]] == [(0.5, 0), (0.25, 1), (0.125, 2)]


SECRET = "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz01234567"[:34]
WRONG: list[tuple[str, tuple[str | int, ...], list[Series], dict[str, Any]]] = [
    ("INVALID_INPUT", ("series", 1, "values"), [series("a", [1], [1]), series("b", [1, 2], [1])], {}),
    ("INVALID_INPUT", ("series", 0, "values", 1), [series("a", [1, 2], [1, "nan"])], {}),
    ("INVALID_INPUT", ("series", 0, "metric"), [series("", [1], [1])], {}),
    ("DUPLICATE_ITEM", ("series", 1, "metric"), [series("a", [1], [1]), series("a", [2], [1])], {}),
    (
        "LIMIT_EXCEEDED",
        ("series",),
        [series("a", range(6_000), range(6_000)), series("b", [1] * 4_001, [1] * 4_001)],
        {},
    ),
    ("LIMIT_EXCEEDED", ("series",), [series(str(n), [1], [1]) for n in range(1_001)], {}),
    ("INVALID_INPUT", ("epoch",), [series("a", [1], [1])], {"epoch": math.inf}),
    ("INVALID_INPUT", ("source",), [series("a", [1], [1])], {"source": "x" * 201}),
    ("INVALID_INPUT", ("source",), [series("a", [1], [1])], {"source": f"rank {SECRET}"}),
    ("INVALID_INPUT", ("series", 1, "metric"), [series("a", [1], [1]), series(SECRET, [1], [1])], {}),
    ("NOT_FOUND", ("id",), [series("a", [1], [1])], {"task": 17}),
    ("NOT_FOUND", ("id",), [series("a", [1], [1])], {"task": "00000000-0000-4000-8000-000000000000"}),
]


@pytest.mark.parametrize(("code", "path", "parts", "given"), WRONG, ids=range(len(WRONG)))
async def test_what_is_wrong_stores_nothing(
    run: Run, code: str, path: tuple[str | int, ...], parts: list[Series], given: dict[str, Any]
) -> None:
    async def send() -> None:
        await run.report(0, *parts, **given)

    error = await refused(send())
    assert (error.code, error.path) == (code, path)
    assert await run.points() == {}
    assert (await run.row()).next_arrival == 0
    assert await run.database.read("SELECT 1 FROM metric_source") == []


async def test_a_report_without_series_is_a_heartbeat_and_so_is_one_that_is_repeated(database: Database) -> None:
    run = await Run.make(database, lost=True, stop_requested=True, step=4)
    silent = update(TrainTask).values(lost=True, heartbeat_at=None)
    for accepted in ((0, 1, True), (0, 1, True)):
        await database.transact(lambda uow: uow.connection.execute(silent).rowcount)
        assert await run.report(0) == accepted
        row = await run.row()
        assert (row.lost, row.step, row.heartbeat_at is not None) == (False, 4, True)
    await run.report(1, series("empty", [], []))
    assert await run.points() == {}


@pytest.mark.parametrize("status", [TaskStatus.SUCCESS, TaskStatus.FAILED, TaskStatus.CANCELED])
async def test_points_are_taken_for_seven_days_after_the_end(database: Database, status: TaskStatus) -> None:
    days = datetime.timedelta(days=7)
    ended = datetime.datetime.now(datetime.UTC) - days + datetime.timedelta(minutes=1)
    run = await Run.make(database, status=status, end_time=ended, updated_at=ended)
    assert (await run.report(0, series("loss", [1], [0.5]))).accepted == 1
    assert (await run.row()).status == status

    def another(uow: UnitOfWork) -> int:
        too_long_ago = ended - datetime.timedelta(minutes=2)
        times = {"end_time": too_long_ago, "updated_at": too_long_ago}
        return insert_task(uow, run.viewer.id, run.workspace, status=status, **times)

    late = await database.transact(another)
    error = await refused(run.report(0, series("loss", [1], [0.5]), task=late))
    assert error.code == "CONFLICT"
    assert "for 7 days after that" in error.message


async def test_a_task_is_reported_to_by_those_who_see_it(run: Run) -> None:
    def others(uow: UnitOfWork) -> dict[str, Viewer]:
        there = create_workspace(uow, "there")
        found = {}
        for name, role, space in [
            ("ben", Role.ANNOTATOR, run.workspace),
            ("admin", Role.ADMIN, run.workspace),
            ("other", Role.ADMIN, there),
            ("owner", Role.OWNER, None),
        ]:
            spaces = () if space is None else (space,)
            found[name] = Viewer(create_user(uow, NewUser(name, role, workspace_ids=spaces)), name, role)
        return found

    viewers = await run.database.transact(others, viewer=OPERATOR)
    uuid = (await run.row()).task_uuid
    for name in ("ben", "other"):
        for task in (run.task, uuid):
            run.viewer = viewers[name]
            error = await refused(run.report(0, series("loss", [1], [0.5]), task=task))
            assert (error.code, "that you can see" in error.message) == ("NOT_FOUND", True)
    for sequence, name in enumerate(("admin", "owner")):
        run.viewer = viewers[name]
        assert (await run.report(sequence, series("loss", [1], [0.5]), task=uuid)).accepted == 1


async def test_two_sources_at_once_get_arrivals_one_after_the_other(run: Run) -> None:
    async def source(name: str) -> None:
        for sequence in range(15):
            await run.report(sequence, series("loss", [sequence], [0.5]), series(name, [1], [1]), source=name)

    await asyncio.gather(*(source(f"rank {n}") for n in range(3)))
    assert [point[3] for point in (await run.points())["loss"]] == list(range(45))
    assert (await summaries(run))["loss"][0] == 45
    assert (await run.row()).next_arrival == 45


async def test_one_report_sent_twice_at_once_is_stored_once(run: Run) -> None:
    for sequence in range(10):
        report = series("loss", [sequence], [0.5])
        answers = await asyncio.gather(*(run.report(sequence, report) for _ in range(4)))
        assert sorted(answer.accepted for answer in answers) == [0, 0, 0, 1]
    assert [point[0] for point in (await run.points())["loss"]] == list(range(10))


class Plain:
    """What reports do, in plain Python."""

    def __init__(self) -> None:
        self.sent: dict[str, list[Any]] = {}
        self.points: dict[str, list[tuple[int, float]]] = {}

    def report(self, source: str, sequence: int, parts: list[Series]) -> tuple[str | int, int]:
        sent = self.sent.setdefault(source, [])
        content = sorted((part["metric"], part["steps"], part["values"]) for part in parts)
        if sequence > len(sent):
            return "SEQUENCE_GAP", len(sent)
        if sequence < len(sent):
            changed = sequence == len(sent) - 1 and sent[sequence] != content
            return "SEQUENCE_CONFLICT" if changed else 0, len(sent)
        sent.append(content)
        for part in parts:
            if part["steps"]:
                found = self.points.setdefault(part["metric"], [])
                found += zip(part["steps"], map(float, part["values"]), strict=True)
        return sum(len(part["steps"]) for part in parts), len(sent)


PARTS = st.lists(
    st.tuples(st.sampled_from("ab"), st.lists(st.tuples(st.integers(-3, 3), st.integers(-2, 2)), max_size=4)),
    max_size=2,
    unique_by=lambda item: item[0],
).map(lambda found: [series(name, [s for s, _ in rows], [v for _, v in rows]) for name, rows in found])
CALLS = st.lists(st.tuples(st.sampled_from("xy"), st.integers(-2, 1), st.booleans(), PARTS), max_size=25)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=CALLS)
async def test_reports_are_stored_as_a_plain_model_stores_them(
    run: Run, calls: list[tuple[str, int, bool, list[Series]]]
) -> None:
    """Repeats, gaps, conflicts and reports in any order; an offset of 0 is the number that is expected."""

    def fresh(uow: UnitOfWork) -> int:
        return insert_task(uow, run.viewer.id, run.workspace)

    one = Run(run.database, await run.database.transact(fresh), run.viewer, run.workspace)
    model = Plain()
    last: dict[str, list[Series]] = {}
    for source, offset, again, new in calls:
        sequence = max(len(model.sent.get(source, [])) + offset, 0)
        parts = last.get(source, new) if again else new
        last[source] = parts
        expected, following = model.report(source, sequence, parts)
        if isinstance(expected, int):
            assert await one.report(sequence, *parts, source=source) == (expected, following, False)
        else:
            error = await refused(one.report(sequence, *parts, source=source))
            assert error.code == expected
            assert str(following) in error.message
    rows = await run.database.read(f"SELECT name, points FROM metric WHERE task_id = {one.task}")
    assert dict(rows) == {name: len(points) for name, points in model.points.items()}
    stored = {name: [(row[0], row[1]) for row in points] for name, points in (await one.points()).items()}
    assert stored == model.points
