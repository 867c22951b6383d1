"""Files of operations to register: manifests that the build tools of frontends write, and GraphQL documents."""

import hashlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from app.errors import Code, GradbookError

STANDARD_INPUT = Path("-")

_APOLLO = "apollo-persisted-query-manifest"
_DOCUMENTS = {".graphql", ".gql"}
_MAX_ID = 256  # characters
_KNOWN = (
    f'expected {{"format": "{_APOLLO}", "version": 1, "operations": [{{"id", "body"}}]}} (Apollo), or an object of '
    "documents by their ids (Relay, GraphQL Code Generator)"
)


class Found(NamedTuple):
    """A document in a file, not yet looked at."""

    file: Path
    id: str
    text: str

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return str(self.file) if self.file.suffix in _DOCUMENTS else f"{self.file}, {self.id}"


def read_files(files: Sequence[Path]) -> Iterator[Found]:
    """What stands in files, folders of GraphQL documents, or standard input. Raises INVALID_INPUT, OSError."""
    for file in files:
        if file == STANDARD_INPUT:
            yield from _read(file, sys.stdin.buffer.read())
        elif file.is_dir():
            documents = sorted(path for path in file.rglob("*") if path.suffix in _DOCUMENTS and path.is_file())
            if not documents:
                raise _invalid(f"There is no .graphql file in the folder {file}; manifests are named as files.")
            for path in documents:
                yield from _read(path, path.read_bytes())
        else:
            yield from _read(file, file.read_bytes())


def _read(file: Path, data: bytes) -> Iterator[Found]:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        message = f"{file}: byte {error.start + 1}, 0x{data[error.start]:02X}, is not UTF-8."
        raise _invalid(message) from None
    if file.suffix in _DOCUMENTS:
        yield Found(file, hashlib.sha256(data).hexdigest(), text)
        return
    try:
        content = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _invalid(f"{file} is not JSON: {error}. A manifest is {_KNOWN}.") from None
    operations = list(_operations(file, content))
    if not operations:
        raise _invalid(f"{file} holds no operation: did the build find the documents?")
    for name, body in operations:
        wrong = _wrong(name, body)
        if wrong:
            raise _invalid(f"{file}: {wrong}.")
        yield Found(file, name, body)


def _operations(file: Path, content: Any) -> Iterator[tuple[Any, Any]]:
    match content:
        case {"format": str(format), "version": version} if format != _APOLLO or version != 1:
            raise _invalid(f"{file} is of the format {format!r}, version {version!r}: {_KNOWN}.")
        case {"format": str(), "version": _, "operations": list(operations)}:
            for number, operation in enumerate(operations):
                if not isinstance(operation, dict):
                    raise _invalid(f"{file}: 'operations' has no object at {number}: {_KNOWN}.")
                yield operation.get("id"), operation.get("body")
        case dict() if not isinstance(content.get("operations"), list):
            yield from content.items()
        case _:
            raise _invalid(f"{file} is no manifest that is known: {_KNOWN}.")


def _wrong(id: Any, body: Any) -> str | None:
    """What is wrong with an entry of a manifest, in words."""
    if not isinstance(id, str) or not 0 < len(id) <= _MAX_ID or not id.isprintable() or " " in id:
        return f"{id!r} is no id: expected up to {_MAX_ID} characters without blanks, mostly a hash"
    if not isinstance(body, str):
        return f"{id!r} is no text: expected its GraphQL document"
    return None


def _invalid(message: str) -> GradbookError:
    return GradbookError(Code.INVALID_INPUT, message)
