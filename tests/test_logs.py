import logging
import sys
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import structlog

from app import logs


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_our_lines_and_those_of_libraries_are_json_with_the_request_id(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    structlog.contextvars.bind_contextvars(request_id="r1")
    structlog.get_logger("app.asgi").info("request", status=200)
    logging.getLogger("uvicorn.error").warning("%s is late", "lifespan")
    ours, theirs = lines(capsys)
    assert (ours["event"], ours["status"], ours["request_id"], ours["logger"]) == ("request", 200, "r1", "app.asgi")
    assert (theirs["event"], theirs["level"], theirs["request_id"]) == ("lifespan is late", "warning", "r1")
    assert ours["timestamp"].endswith("Z")


def test_lines_below_the_level_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("warning", "json")
    structlog.get_logger("app").info("quiet")
    structlog.get_logger("app").warning("loud")
    assert [line["event"] for line in lines(capsys)] == ["loud"]


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_secrets_are_not_logged_nor_the_variables_of_a_traceback(
    capsys: pytest.CaptureFixture[str], log_format: Any
) -> None:
    logs.configure("info", log_format)
    logger = structlog.get_logger("app")
    logger.info("signed in", password="hunter2", api_key="hunter2", **{"Set-Cookie": "hunter2"}, keyword="shown")

    def fails(secret: str) -> None:
        raise RuntimeError("it failed")

    try:
        fails("hunter" + "2")
    except RuntimeError:
        logger.exception("unexpected")
    written = capsys.readouterr().err
    assert "hunter2" not in written
    assert "shown" in written
    assert "RuntimeError: it failed" in written


def test_anything_can_be_logged_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    structlog.get_logger("app").info("odd", value=sys, table={1: object})
    assert lines(capsys)[0]["table"] == {"1": "<class 'object'>"}


EVIL = "a\x1b[2J\x9b31m\u202eb\r\n2026-01-31T09:00:00Z [info] forged"


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_nothing_that_is_logged_steers_a_terminal_or_seems_to_be_another_line(
    capsys: pytest.CaptureFixture[str], log_format: Any
) -> None:
    logs.configure("info", log_format)
    structlog.get_logger("app").info("request", path=EVIL, plain=EVIL.replace(" ", ""), several=[EVIL])
    logging.getLogger("uvicorn.error").warning("%s is late", EVIL)
    try:
        raise RuntimeError(EVIL)
    except RuntimeError:
        structlog.get_logger("app").exception(EVIL)
    written = capsys.readouterr().err
    assert not set(written) & set("\x1b\x9b\u202e\r")
    own = [line for line in written.splitlines() if not line.startswith("    ")]
    assert len(own) == 3
    assert "forged" in own[0]
    assert "RuntimeError: a" in written
    if log_format == "json":
        assert orjson.loads(own[0])["path"] == EVIL
