"""Schemathesis against a real server: what it draws from the schema, as the owner and, now and then, as nobody."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import httpx2
import orjson
import pytest

from app.accounts.access import OPERATOR
from app.accounts.credentials import create_key
from app.db import Database
from app.errors import Code
from tests.fuzz.budget import BEHIND_SERVERS, FACTOR, SEED
from tests.fuzz.library import HARVEST, fill, ids_in
from tests.support.server import Server

ROOT = Path(__file__).parents[2]
SECONDS = 60
"""For one answer, on the busiest machine."""

UNBOUNDED = {"budget_per_minute": "0", "budget_per_address_per_minute": "0", "attention_percent": "100"}
"""More is asked in a minute than one caller may."""

BUSY = {Code.OVERLOADED.name, Code.DATABASE_BUSY.name}
"""What a 5xx may say."""


async def filled(url: str) -> str:
    """Fills a database; the key of its owner, of whom no draw can know."""
    async with await Database.open(url) as database:
        owner = await fill(database, SEED, only_possible=True)
        return (await database.transact(create_key, "fuzz", owner.id, viewer=OPERATOR))[1]


@pytest.mark.parametrize("backend", BEHIND_SERVERS, indirect=True)
async def test_what_schemathesis_draws(database_url: str, tmp_path: Path) -> None:
    key = await filled(database_url)
    with Server(database_url, tmp_path, **UNBOUNDED) as server:
        headers = {"authorization": f"Bearer {key}"}
        async with httpx2.AsyncClient(timeout=SECONDS, verify=False) as client:
            found = await client.post(f"{server.address}/graphql", json={"query": HARVEST}, headers=headers)
        ids = [one for some in ids_in(found.json()["data"]).values() for one in some]
        assert ids
        code, said = await schemathesis(f"{server.address}/graphql", ids, key, tmp_path)
        assert code == 0, said
        assert "Traceback" not in server.log


async def schemathesis(url: str, ids: list[str], key: str, folder: Path) -> tuple[int, str]:
    """Its exit code, and what it says. In the bounded part it draws one operation for each field of the roots."""
    options = ["--seed", str(SEED), "--generation-database", "none"] if FACTOR else ["--generation-deterministic"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", str(ROOT / "schema.graphql"), "--url", url, *options),
        *("--header", f"Authorization: Bearer {key}", "--max-examples", str(max(1, 2 * FACTOR))),
        *("--checks", "every_error_has_a_code,response_schema_conformance,negative_data_rejection"),
        *("--max-response-time", str(SECONDS), "--request-timeout", str(SECONDS), "--continue-on-failure"),
        *("--no-color", "--suppress-health-check", "all"),
        cwd=folder,  # where it keeps what it found
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks",
            "GRADBOOK_FUZZ_IDS": orjson.dumps(ids).decode(),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()
