"""What can be set from outside: each setting is `GRADBOOK_<NAME>` in the environment or in the file `.env`."""

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource, NoDecode, SettingsConfigDict
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from app.errors import Code, GradbookError

PREFIX = "GRADBOOK_"
ENV_FILE = ".env"

# The driver that a URL may name does not matter: there is one for each database.
_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}


def parse_database_url(text: str) -> URL:
    """The database's URL with the driver we use; people write `sqlite:///file` and `postgresql://…`.

    ValueError, without the password, if it is neither, or names no file or no database.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ValueError(
            "it is no database URL, such as sqlite:///gradbook.db or postgresql://user:password@host:5432/database"
        ) from None
    kind = url.drivername.split("+")[0]
    if kind not in _DRIVERS:
        raise ValueError(f"it starts with '{url.drivername}', expected sqlite:///FILE or postgresql://…")
    if kind == "sqlite" and url.database in {None, "", ":memory:"}:
        raise ValueError("it names no file, which connections share: write sqlite:///gradbook.db")
    if not url.database:
        raise ValueError("it names no database: write postgresql://user:password@host/DATABASE")
    # Providers hand out `?sslmode=require`, libpq's word; asyncpg's is `ssl`.
    query = {"ssl" if name == "sslmode" else name: value for name, value in url.query.items()}
    return url.set(drivername=_DRIVERS[kind], query=query)


def _normalized_url(text: str) -> str:
    return parse_database_url(text).render_as_string(hide_password=False)


def _web_address(value: Any) -> Any:
    if isinstance(value, str) and value:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValueError("it is no address such as https://book.example.com, without a path")
        return value.rstrip("/")
    return value


def _split_at_commas(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _origins(value: Any) -> Any:
    return tuple(_origin(part) for part in _split_at_commas(value))


def _origin(text: str) -> str:
    """An origin as browsers write it: in small letters, without the port that its scheme has anyway."""
    parts = urlsplit(text.lower())
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError(f"{text!r} is no origin such as https://ui.example.com: write each one, none stands for all")
    default = ":443" if parts.scheme == "https" else ":80"
    return f"{parts.scheme}://{parts.netloc.removesuffix(default)}"


def _networks(value: Any) -> Any:
    parts = _split_at_commas(value)
    for part in parts:
        try:
            part == "*" or ip_network(part)
        except ValueError:
            raise ValueError(f"{part!r} is no address or network such as 10.0.0.7 or 10.0.0.0/8") from None
    return parts


class Settings(BaseSettings):
    """All settings, checked. Build it by `load`, which names what is wrong in the words of the environment."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=ENV_FILE, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    database_url: Annotated[str, BeforeValidator(_normalized_url)] = Field(
        "sqlite:///gradbook.db",
        description="Where everything is kept: sqlite:///FILE, or postgresql://user:password@host/database.",
    )
    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 is every interface.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    public_url: Annotated[str, BeforeValidator(_web_address)] = Field(
        "",
        description="Where browsers reach the server, as https://book.example.com, for the links that it prints; "
        "http://HOST:PORT without.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least level that is logged."
    )
    log_format: Literal["console", "json"] = Field(
        "console", description="console: lines for people. json: one object a line, for machines."
    )

    sqlite_synchronous: Literal["FULL", "NORMAL"] = Field(
        "FULL",
        description="FULL: an acknowledged write survives a power cut. NORMAL is faster, and may lose the last ones.",
    )
    database_readers: int = Field(8, ge=1, le=500, description="Connections that read, at most.")
    database_writers: int = Field(8, ge=1, le=500, description="PostgreSQL connections that write; SQLite has one.")
    read_timeout_seconds: float = Field(
        30, gt=0, le=3600, description="A statement that reads and takes longer is stopped."
    )
    operation_seconds: float = Field(
        60,
        gt=0,
        le=3600,
        description="A query or mutation that takes longer is stopped, its SQL too; a write is done then, or undone.",
    )
    busy_timeout_seconds: float = Field(
        5, gt=0, le=300, description="How long a write waits for a lock before it is tried again, or given up."
    )
    pool_timeout_seconds: float = Field(
        30, gt=0, le=300, description="How long a request waits for a free connection before DATABASE_BUSY."
    )

    live_poll_ms: int = Field(
        25, ge=5, le=10_000, description="How often other processes' commits are looked for (SQLite), in milliseconds."
    )
    live_heal_seconds: float = Field(
        5, gt=0, le=600, description="How often subscriptions look for what a lost notification would have told them."
    )
    max_subscriptions: int = Field(
        100, ge=1, le=10_000, description="Operations that one WebSocket connection may run at a time."
    )

    reservation_minutes: float = Field(
        15, gt=0, le=1440, description="How long `nextRecords` keeps a record for the annotator who was given it."
    )

    late_report_days: float = Field(
        7,
        gt=0,
        le=366,
        description="Reports of a training task are taken for so many days after it ended, or was last changed.",
    )

    lost_after_seconds: float = Field(
        120, gt=0, le=86_400, description="A running training task that was not heard of for so long is `lost`."
    )
    failed_after_hours: float = Field(
        24, gt=0, le=8_784, description="A running training task that was not heard of for so long becomes FAILED."
    )

    compact_seconds: float = Field(
        5, gt=0, le=3600, description="How often points of training tasks that wait to be compacted are looked for."
    )

    session_days: float = Field(14, gt=0, le=366, description="A sign-in by password ends after so many days.")
    sign_in_attempts: int = Field(
        10, ge=1, le=1000, description="Failed sign-ins of one username that are let through in a window."
    )
    sign_in_attempts_per_address: int = Field(
        50, ge=1, le=100_000, description="Failed sign-ins from one address that are let through in a window."
    )
    sign_in_window_minutes: float = Field(
        10, gt=0, le=1440, description="The window of failed sign-ins: in it all of them come back, one by one."
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_networks)] = Field(
        ("127.0.0.1", "::1"),
        description="Proxies whose X-Forwarded-For and X-Forwarded-Proto are believed: addresses, networks, or *.",
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_origins)] = Field(
        (),
        description="Other web origins whose pages may do all that our own may: https://ui.example.com,https://…",
    )

    registered_only: bool = Field(
        False,
        description="Run operations that `gradbook operations register` registered, and no others: GraphiQL is closed.",
    )
    max_connections: int = Field(
        5000, ge=10, le=100_000, description="Connections that a server has, sockets included; to more it answers 503."
    )
    header_seconds: float = Field(
        10, gt=0, le=600, description="How long a request's head may take to arrive; then the connection ends."
    )
    max_requests: int = Field(
        1000, ge=1, le=100_000, description="Requests that a server works on at a time; to more it answers 503."
    )
    max_sockets: int = Field(
        4000,
        ge=1,
        le=100_000,
        description="WebSockets and event streams open at a server; to more it answers 503.",
    )
    max_sockets_per_caller: int = Field(
        200,
        ge=1,
        le=100_000,
        description="WebSockets and event streams of one key or session at a server; without one, of an address.",
    )
    max_subscriptions_per_caller: int = Field(
        1000, ge=1, le=1_000_000, description="Subscriptions of one key or session at a server, over all its sockets."
    )
    max_held_bytes: int = Field(
        256 * 1024 * 1024,
        ge=1024 * 1024,
        description="Bytes of large requests (over 64 KiB) that a server has in hand; to more it answers 503.",
    )
    max_body_bytes: int = Field(32 * 1024 * 1024, ge=1024, description="A larger request is refused with 413.")
    body_seconds: float = Field(
        30, gt=0, le=3600, description="How long a request's body may take to arrive; then it is broken off, with 408."
    )
    max_message_bytes: int = Field(
        2**20, ge=1024, description="A socket that sends a larger message is closed: what is large is sent by POST."
    )
    max_import_bytes: int = Field(2**30, ge=1024, description="A larger file is refused over HTTP, with 413.")
    import_seconds: float = Field(
        3600, gt=0, le=86_400, description="How long the upload of a file may take over HTTP; then it is broken off."
    )
    max_batch: int = Field(1000, ge=1, le=10_000, description="Items that one bulk mutation takes.")
    max_source_length: int = Field(100_000, ge=1000, le=10_000_000, description="Characters in one GraphQL document.")
    max_tokens: int = Field(5000, ge=100, le=1_000_000, description="Words and signs in one GraphQL document.")
    max_comments: int = Field(1000, ge=10, le=100_000, description="Comments in one GraphQL document.")
    max_depth: int = Field(25, ge=4, le=50, description="Levels of fields in one operation.")
    max_fields: int = Field(
        1000, ge=100, le=100_000, description="Fields in one GraphQL document, with fragments in their places."
    )
    max_aliases: int = Field(200, ge=10, le=100_000, description="Aliases in one GraphQL document, counted likewise.")
    max_directives: int = Field(
        200, ge=10, le=100_000, description="Directives in one GraphQL document, counted likewise."
    )
    max_root_fields: int = Field(50, ge=10, le=1000, description="Fields at the root of one operation.")
    max_overlap: int = Field(
        50_000,
        ge=1000,
        le=10_000_000,
        description="Comparisons of fields that answer under one name: the square of their number, wherever they do.",
    )
    max_lists: int = Field(
        50, ge=10, le=1000, description="Lists in one operation; each takes some 15 ms when it is read first."
    )
    max_cost: int = Field(
        1_000_000, ge=10_000, description="What one operation may cost: values in its answer, if all lists are full."
    )
    budget_per_minute: int = Field(
        60_000_000,
        ge=0,
        description="What one key or session may spend in a minute, in the unit of MAX_COST; 0 is without limit.",
    )
    budget_per_address_per_minute: int = Field(
        240_000_000, ge=0, description="What all callers from one address may spend in a minute; 0 is without limit."
    )
    attention_percent: int = Field(
        10,
        ge=1,
        le=100,
        description="Of the time of the server's one thread, so much may the requests of one key take to be read "
        "(received, parsed, checked, compiled), if many ask; a few have more. 100 is without limit.",
    )
    anonymous_percent: int = Field(
        10,
        ge=1,
        le=100,
        description="Callers who are not signed in may have so much of MAX_SOURCE_LENGTH to ATTENTION_PERCENT.",
    )

    graceful_shutdown_seconds: int = Field(
        10, ge=0, le=3600, description="At a shutdown, how long running requests may go on; sockets are closed at once."
    )


class SettingRow(NamedTuple):
    """One line of `gradbook settings`."""

    variable: str
    value: str
    source: str
    description: str


def load(**options: Any) -> Settings:
    """The settings: options (None means not given) win over the environment, that over `.env`, that over the defaults.

    INVALID_INPUT names each wrong variable, its value and what would be right.
    """
    try:
        return Settings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        given = {**_from_file(), **_from_environment(), **{n: v for n, v in options.items() if v is not None}}
        wrong = []
        for one in error.errors(include_url=False, include_input=False):
            name = str(one["loc"][0])
            value = "" if name == "database_url" else f" is {given.get(name)!r}"
            wrong.append(f"{PREFIX}{name.upper()}{value}: {one['msg'].removeprefix('Value error, ')}")
        raise GradbookError(Code.INVALID_INPUT, "; ".join(wrong)) from None


def describe(settings: Settings, **options: Any) -> Iterator[SettingRow]:
    """Each setting with its value (passwords masked), where that came from, and what it is for."""
    environment, file = _from_environment(), _from_file()
    for name, field in Settings.model_fields.items():
        if options.get(name) is not None:
            source = "option"
        elif name in environment:
            source = "environment"
        elif name in file:
            source = ENV_FILE
        else:
            source = "default"
        yield SettingRow(PREFIX + name.upper(), _shown(name, getattr(settings, name)), source, field.description or "")


def _shown(name: str, value: Any) -> str:
    if name == "database_url":
        return make_url(value).render_as_string(hide_password=True)
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _from_environment() -> dict[str, Any]:
    return EnvSettingsSource(Settings)()


def _from_file() -> dict[str, Any]:
    return DotEnvSettingsSource(Settings)()
