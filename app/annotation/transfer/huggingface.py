"""A folder that `save_to_disk` of Hugging Face's `datasets` wrote: one dataset, or one for each split."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from app.annotation.checks import invalid
from app.annotation.datasets import QuestionInput
from app.annotation.questions import LabelSettings, Option
from app.annotation.record_items import Shape
from app.annotation.transfer.columns import Columns
from app.annotation.transfer.line_format import Read
from app.annotation.transfer.parquet_format import rows_of, sizes_of
from app.errors import GradbookError

if TYPE_CHECKING:
    from pyarrow import RecordBatch

_BATCH_ROWS = 1_000
_SPLITS = "dataset_dict.json"
_STATE = "state.json"
_INFO = "dataset_info.json"


def is_hugging_face(folder: Path) -> bool:
    """Whether `save_to_disk` wrote the folder."""
    return (folder / _SPLITS).is_file() or (folder / _STATE).is_file()


class HuggingFaceSource:
    """Such a folder. Splits follow each other; with more than one, the metadata `split` says which it was.

    A ClassLabel is its name; in a new dataset it is a question, and the labels are suggestions.
    """

    unit = "row"

    def __init__(self, folder: Path) -> None:
        """Raises INVALID_INPUT for a folder that is not complete."""
        names = _read(folder / _SPLITS, "splits") if (folder / _SPLITS).is_file() else None
        self._parts = [(name, folder / name) for name in names] if names is not None else [(None, folder)]
        self._files = [
            (split, part / Path(one["filename"]).name, _class_labels(part))
            for split, part in self._parts
            for one in _read(part / _STATE, "_data_files")
        ]
        if missing := [file for _, file, _ in self._files if not file.is_file()]:
            raise invalid(f"{missing[0]} is missing: was the folder copied completely? Nothing was imported.")
        self.size = sum(file.stat().st_size for _, file, _ in self._files)

    def check(self) -> None:
        """Read all of it. Raises INVALID_INPUT for damage."""
        for _, file, _ in self._files:
            for batch in _batches(file):
                sizes_of(batch)

    def records(self, shape: Shape | None) -> Iterator[Read]:
        """The rows as records."""
        number = end = 0
        for split, file, labels in self._files:
            for batch in _batches(file):
                named = _named(batch, labels, split if len(self._parts) > 1 else None)
                columns = Columns(named.schema.names, shape, typed=True, asks=frozenset(labels))
                yield from rows_of(named, columns, number, end)
                number += batch.num_rows
            end += file.stat().st_size

    def questions(self) -> list[QuestionInput]:
        """A question for each ClassLabel."""
        labels = {name: options for _, _, labels in self._files for name, options in labels.items()}
        return [
            QuestionInput(name, LabelSettings(tuple(Option(option) for option in options)))
            for name, options in labels.items()
        ]


def _batches(path: Path) -> Iterator[RecordBatch]:
    from pyarrow import ArrowException, OSFile, ipc  # noqa: PLC0415 - takes a while, and most commands need none

    try:
        with OSFile(str(path), "rb") as file, ipc.open_stream(file) as reader:
            for batch in reader:
                for start in range(0, batch.num_rows, _BATCH_ROWS):
                    yield batch.slice(start, _BATCH_ROWS)
    except (ArrowException, OSError) as error:
        said = str(error).split("\n", 1)[0].rstrip(".")
        raise invalid(f"{path} is damaged ({said}): was it copied completely? Nothing was imported.") from None


def _named(batch: RecordBatch, labels: dict[str, list[str]], split: str | None) -> RecordBatch:
    """The batch with names for class labels, -1 and others that have none being null, and with its split."""
    import pyarrow as pa  # noqa: PLC0415

    for name, options in labels.items():
        numbers = batch.column(name).to_pylist()
        texts = [options[one] if one is not None and 0 <= one < len(options) else None for one in numbers]
        place = batch.schema.get_field_index(name)
        batch = batch.set_column(place, name, pa.array(texts, pa.string()))
    if split is not None:
        batch = batch.append_column("metadata.split", pa.array([split] * batch.num_rows, pa.string()))
    return batch


def _class_labels(folder: Path) -> dict[str, list[str]]:
    features = _read(folder / _INFO, "features")
    return {
        name: feature["names"]
        for name, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list)
    }


def _read(path: Path, key: str) -> Any:
    """What a file of JSON says about one thing. Raises INVALID_INPUT."""
    try:
        return orjson.loads(path.read_bytes())[key]
    except FileNotFoundError:
        raise invalid(f"{path} is missing: was the folder copied completely? Nothing was imported.") from None
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise _wrong(path, key, error) from None


def _wrong(path: Path, key: str, error: Exception) -> GradbookError:
    return invalid(f"{path} does not say {key!r} as `save_to_disk` writes it ({error!r}). Nothing was imported.")
