"""How far a dataset is: each record counts once, whatever is read beside it, and whatever happens to it."""

from typing import Any

from tests.api.conftest import Book

PROGRESS = "progress { total completed pending }"
NESTED = f"""{{ datasets {{ nodes {{ id {PROGRESS} workspace {{ members {{ nodes {{ id }} }} }}
    questions {{ id }} records {{ totalCount nodes {{ responses {{ nodes {{ id }} }} suggestions {{ id }}
    dataset {{ {PROGRESS} }} }} }} }} }} }}"""


async def progress(book: Book, who: str = "admin") -> tuple[int, int, int]:
    query = f"query ($id: ID!) {{ dataset(id: $id) {{ {PROGRESS} }} }}"
    return counts((await book.data(who, query, {"id": book.ids["dataset_here"]}))["dataset"])


def counts(dataset: dict[str, Any]) -> tuple[int, int, int]:
    found = dataset["progress"]
    return found["total"], found["completed"], found["pending"]


async def submit(book: Book, *people: str, record: int) -> list[str]:
    """The ids of their responses."""
    given = {"recordId": book.ids[f"record_here_{record}"], "values": {"quality": 4}}
    return [(await book.mutate(who, "SubmitResponse", given))["response"]["id"] for who in people]


async def test_more_answers_than_needed_complete_a_record_once(book: Book) -> None:
    """The dataset asks for two, and the first record has three already."""
    assert await progress(book) == (3, 1, 2)
    await submit(book, "ann", record=1)
    assert await progress(book) == (3, 1, 2)
    await submit(book, "ben", "admin", "ann", record=1)
    assert await progress(book) == (3, 2, 1)
    assert await progress(book, "ann") == (3, 2, 1), "an annotator, who sees no answers of others, sees the same"


async def test_drafts_and_discards_count_for_nothing(book: Book) -> None:
    await submit(book, "ann", "ben", record=1)
    record = {"recordId": book.ids["record_here_1"]}
    await book.mutate("ben", "SaveDraft", {**record, "values": {"quality": 4}})
    assert await progress(book) == (3, 1, 2)
    await submit(book, "ben", record=1)
    assert await progress(book) == (3, 2, 1)
    await book.mutate("ann", "DiscardResponse", record)
    assert await progress(book) == (3, 1, 2)


async def test_deletes_take_back_what_they_took_away(book: Book) -> None:
    for who, expected in (("ann", (3, 1, 2)), ("ben", (3, 0, 3)), ("admin", (3, 0, 3))):
        await book.mutate("admin", "DeleteResponse", {"id": book.ids[f"response_of_{who}"]})
        assert await progress(book) == expected
    await submit(book, "ann", "ben", record=2)
    assert await progress(book) == (3, 1, 2)


async def test_the_threshold_moves_both_ways(book: Book) -> None:
    await submit(book, "ann", record=1)
    thresholds = {3: (3, 1, 2), 4: (3, 0, 3), 1: (3, 2, 1), 2: (3, 1, 2)}
    for threshold, expected in thresholds.items():
        changed = await book.mutate(
            "admin", "UpdateDataset", {"id": book.ids["dataset_here"], "minSubmitted": threshold}
        )
        assert counts(changed["dataset"]) == expected == await progress(book)


async def test_lists_beside_it_multiply_nothing(book: Book) -> None:
    await submit(book, "ann", "ben", record=1)
    found = await book.data("owner", NESTED)
    datasets = {dataset["id"]: dataset for dataset in found["datasets"]["nodes"]}
    for name, expected in {"here": (3, 2, 1), "there": (3, 0, 3)}.items():
        dataset = datasets[book.ids[f"dataset_{name}"]]
        assert counts(dataset) == expected
        assert [counts(record["dataset"]) for record in dataset["records"]["nodes"]] == [expected] * 3
    answers = [len(record["responses"]["nodes"]) for record in datasets[book.ids["dataset_here"]]["records"]["nodes"]]
    assert answers == [3, 2, 0], "there was something to multiply by"
