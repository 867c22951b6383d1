"""The errors users meet, each with a stable code."""

from enum import Enum, unique


@unique
class Code(Enum):
    """Every code an error can have; its value says what it means. Clients switch on the names, which never change."""

    UNAUTHENTICATED = "Nobody is signed in: send an API key as `Authorization: Bearer KEY`, or sign in."
    FORBIDDEN = "The viewer's role does not permit this."
    NOT_FOUND = "Nothing of that kind has this id, or the viewer may not see it."
    INVALID_INPUT = (
        "A value does not keep the rules of its field; the message says which value and what would be right."
    )
    INVALID_DOCUMENT = (
        "The GraphQL text cannot be run: a syntax error, something the schema does not have, or no such operation."
    )
    PERSISTED_QUERY_NOT_FOUND = "No document was sent with this hash yet: send its text and the hash together, once."
    OPERATION_NOT_REGISTERED = (
        "No operation is registered under this id; or the server runs registered operations only, and this is none."
    )
    INVALID_ID = "The text is not an id, or it is the id of another kind of thing."
    INVALID_CURSOR = "The cursor was not made by this connection, or for another order or filter."
    DUPLICATE = "Something with this name or external id exists already."
    DUPLICATE_ITEM = "An earlier item of the same request has the same key."
    CONFLICT = "The thing is in a state, or is used by others, so that this cannot be done to it."
    INVALID_TRANSITION = "The task is in a state from which it cannot get to the one asked for; the message names both."
    SEQUENCE_CONFLICT = "The source has sent another report under this number: each report of a source has its own."
    SEQUENCE_GAP = "Reports of the source before this one are missing; the message names the number that is expected."
    WORKSPACE_REQUIRED = "The viewer has several workspaces, or none: say which is meant by `workspaceId`."
    TOO_FEW_RUNS = "There are fewer runs than a recommendation rests on; the message names both numbers."
    NOT_INSTALLED = "The server lacks an optional package; the message says which, and how to install it."
    LIMIT_EXCEEDED = "The request asks for more than one request may: page size, batch, depth, aliases or bytes."
    TIMEOUT = "This took longer than it may and was stopped; nothing of it is stored. Ask for less at once."
    RATE_LIMITED = "There were too many requests in too short a time; the message says when to try again."
    OVERLOADED = (
        "The server has too much to do at the moment; nothing was done, and the same request may be sent again."
    )
    DATABASE_BUSY = "The database stayed locked by others; nothing was written, and the same request may be sent again."
    DATABASE_UNAVAILABLE = "The database cannot be reached; nothing was written."
    OUTCOME_UNKNOWN = (
        "The connection to the database was lost while it committed: everything is stored, or nothing. Look which "
        "before you send it again; what may be done twice, as submitting a response, may be sent again at once."
    )
    DATABASE_MISMATCH = "The database is not Gradbook's, or another version of Gradbook made it."
    INTERNAL = "An error of the server; the log has it under the response's request id."

    @property
    def description(self) -> str:
        """What the code means, for the schema and the documentation."""
        return self.value


class GradbookError(Exception):
    """An error that is answered to the user as `{code, message, path}`.

    `message` names the wrong value and what would be right. `path` leads into the mutation's input: field names as in
    GraphQL, and list indices, as in `("responses", 3, "values", "rating")`. `retry_after` is in how many seconds it may
    go better; over HTTP it is the header Retry-After.
    """

    def __init__(
        self, code: Code, message: str, path: tuple[str | int, ...] = (), *, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.code = code.name
        self.message = message
        self.path = path
        self.retry_after = retry_after

    def below(self, *path: str | int) -> "GradbookError":
        """The same error seen from further out: with `path` before its own."""
        return type(self)(Code[self.code], self.message, (*path, *self.path), retry_after=self.retry_after)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.code}, {self.message!r}, {self.path!r})"
