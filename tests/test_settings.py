from pathlib import Path

import pytest

from app import settings
from app.errors import Code, GradbookError
from app.settings import SettingRow, Settings, load, parse_database_url


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"GRADBOOK_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)


def rows(**options: object) -> dict[str, SettingRow]:
    return {row.variable: row for row in settings.describe(load(**options), **options)}


def test_it_starts_with_nothing() -> None:
    assert load().database_url == "sqlite:///gradbook.db"
    assert {row.source for row in rows().values()} == {"default"}


def test_options_win_over_the_environment_and_that_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("GRADBOOK_PORT=1\nGRADBOOK_HOST=file\nGRADBOOK_LOG_LEVEL=error\nOTHER=x\n")
    monkeypatch.setenv("GRADBOOK_PORT", "2")
    monkeypatch.setenv("GRADBOOK_HOST", "environment")
    shown = rows(port=3, host=None)
    assert [(shown[f"GRADBOOK_{name}"].value, shown[f"GRADBOOK_{name}"].source) for name in ("PORT", "HOST")] == [
        ("3", "option"),
        ("environment", "environment"),
    ]
    assert shown["GRADBOOK_LOG_LEVEL"][1:3] == ("error", ".env")


def test_every_setting_says_what_it_is_for() -> None:
    assert [row.variable for row in rows().values() if len(row.description) < 20] == []


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("sqlite:///gradbook.db", "sqlite:///gradbook.db"),
        ("sqlite+aiosqlite:////var/lib/g.db", "sqlite:////var/lib/g.db"),
        ("postgresql://u:p%40ss@host:5433/book", "postgresql+asyncpg://u:p%40ss@host:5433/book"),
        ("postgres://host/book?sslmode=require", "postgresql+asyncpg://host/book?ssl=require"),
        ("postgresql+psycopg://host/book", "postgresql+asyncpg://host/book"),
    ],
)
def test_database_urls_are_taken_as_people_write_them(written: str, meant: str) -> None:
    assert parse_database_url(written).render_as_string(hide_password=False) == meant
    assert load(database_url=written).database_url == meant


@pytest.mark.parametrize(
    ("written", "wrong"),
    [
        ("gradbook.db", "no database URL"),
        ("mysql://u:secret@host/book", "starts with 'mysql'"),
        ("postgresql://u:secret@host:port/book", "no database URL"),
        ("postgresql://u:secret@host", "names no database"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
def test_a_wrong_database_url_is_explained_without_its_password(written: str, wrong: str) -> None:
    with pytest.raises(GradbookError) as caught:
        load(database_url=written)
    assert wrong in caught.value.message
    assert "GRADBOOK_DATABASE_URL" in caught.value.message
    assert "secret" not in caught.value.message


def test_all_wrong_values_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADBOOK_PORT", "eighty")
    monkeypatch.setenv("GRADBOOK_SQLITE_SYNCHRONOUS", "OFF")
    with pytest.raises(GradbookError) as caught:
        load()
    assert caught.value.code == Code.INVALID_INPUT.name
    assert "GRADBOOK_PORT is 'eighty'" in caught.value.message
    assert "GRADBOOK_SQLITE_SYNCHRONOUS is 'OFF': Input should be 'FULL' or 'NORMAL'" in caught.value.message


def test_passwords_are_masked() -> None:
    row = rows(database_url="postgresql://u:secret@host/book")["GRADBOOK_DATABASE_URL"]
    assert row.value == "postgresql+asyncpg://u:***@host/book"


def test_origins_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADBOOK_ALLOWED_ORIGINS", "https://a.example, https://b.example")
    assert load().allowed_origins == ("https://a.example", "https://b.example")
    assert rows()["GRADBOOK_ALLOWED_ORIGINS"].value == "https://a.example,https://b.example"


@pytest.mark.parametrize(
    ("written", "origin"),
    [
        ("https://UI.example.com/", "https://ui.example.com"),
        ("https://ui.example.com:443", "https://ui.example.com"),
        ("http://localhost:3000", "http://localhost:3000"),
    ],
)
def test_an_origin_is_kept_as_browsers_write_it(monkeypatch: pytest.MonkeyPatch, written: str, origin: str) -> None:
    monkeypatch.setenv("GRADBOOK_ALLOWED_ORIGINS", written)
    assert load().allowed_origins == (origin,)


@pytest.mark.parametrize("written", ["*", "null", "ui.example.com", "https://a.example/path", "ftp://a.example"])
def test_what_is_no_origin_is_refused(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv("GRADBOOK_ALLOWED_ORIGINS", written)
    with pytest.raises(GradbookError, match="is no origin such as https://ui"):
        load()
