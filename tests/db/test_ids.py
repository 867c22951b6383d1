import threading
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.db.ids import EPOCH_MS, MAX_ID, SEQUENCE_BITS, WORKER_BITS, IdGenerator

NOW = EPOCH_MS + 90_000_000_000
# What happens between two draws: the clock moves (backwards too), or the worker number changes.
STEPS = st.lists(st.integers(-5_000, 5_000) | st.none() | st.just("batch"), max_size=60)


@given(STEPS, st.integers(0, 2**WORKER_BITS - 1))
def test_ids_grow_whatever_the_clock_does(steps: list[int | str | None], worker: int) -> None:
    now = NOW
    ids = IdGenerator(lambda: now, worker)
    drawn = [ids.new_id()]
    for step in steps:
        if step is None:
            ids.new_worker()
        elif step == "batch":
            drawn += ids.new_ids(3)
        else:
            now += int(step)
        drawn.append(ids.new_id())
    assert all(before < after for before, after in pairwise(drawn))
    assert all(0 < new <= MAX_ID for new in drawn)


@given(st.integers(0, 2**41 - 1 - 10), st.integers(0, 2**WORKER_BITS - 1))
def test_an_id_holds_milliseconds_worker_and_sequence(ms: int, worker: int) -> None:
    ids = IdGenerator(lambda: EPOCH_MS + ms, worker)
    first, second = ids.new_ids(2)
    assert first >> (WORKER_BITS + SEQUENCE_BITS) == ms
    assert first >> SEQUENCE_BITS & (2**WORKER_BITS - 1) == worker
    assert (first & (2**SEQUENCE_BITS - 1), second - first) == (0, 1)
    assert second <= MAX_ID


def test_more_than_a_millisecond_holds_borrows_from_the_next() -> None:
    ids = IdGenerator(lambda: NOW, 7)
    drawn = ids.new_ids(5_000)
    assert len(set(drawn)) == 5_000
    assert drawn == sorted(drawn)
    assert {new >> SEQUENCE_BITS & (2**WORKER_BITS - 1) for new in drawn} == {7}


def test_a_new_worker_is_another_one() -> None:
    ids = IdGenerator(lambda: NOW, 7)
    for _ in range(200):
        before, drawn = ids.worker, ids.new_id()
        ids.new_worker()
        assert ids.worker != before
        assert ids.new_id() > drawn


def test_threads_never_draw_the_same() -> None:
    ids = IdGenerator()
    drawn: list[list[int]] = [[] for _ in range(8)]

    def draw(into: list[int]) -> None:
        into.extend(ids.new_id() for _ in range(3_000))

    threads = [threading.Thread(target=draw, args=(into,)) for into in drawn]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({new for into in drawn for new in into}) == 24_000
    assert all(into == sorted(into) for into in drawn)


def test_two_processes_rarely_draw_the_same_worker() -> None:
    assert len({IdGenerator().worker for _ in range(50)}) > 35
