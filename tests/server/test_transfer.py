"""Files in and out of a real server."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from app.db import Database
from tests.api.conftest import operation
from tests.server.conftest import Start, Team
from tests.support.server import Client, Server


async def test_a_file_goes_through_a_server(server: Server, team: Team) -> None:
    async with Client(server, team.owner) as owner, Client(server, team.keys["ann"]) as ann:
        url = f"/datasets/{team.dataset}"
        for name in ("csv", "parquet", "jsonl"):
            out = await owner.http.get(f"{url}/export", params={"format": name})
            assert out.status_code == 200
            assert out.headers["content-disposition"] == f"attachment; filename*=UTF-8''d.{name}"
            given: dict[str, Any] = {"content": out.content, "headers": {"content-type": out.headers["content-type"]}}
            back = await owner.http.post(f"{url}/import", **given)
            assert back.json()["skipped"] == 200, back.text
            assert (await ann.http.post(f"{url}/import", **given)).status_code == 403
        assert (await ann.http.get(f"{url}/export")).status_code == 200


async def test_the_bound_on_uploads_is_a_setting(start: Start) -> None:
    server = start(max_import_bytes="2000")
    async with Client(server, server.key) as owner:
        made = await owner.run(
            """mutation { createDataset(input: {name: "d", fields: [{name: "text"}], questions: [
                {name: "c", settings: {text: {}}}]}) { dataset { id } errors { message } } }"""
        )
        url = f"/datasets/{made['createDataset']['dataset']['id']}/import"
        headers = {"content-type": "text/csv"}
        ok = await owner.http.post(url, content="text\n" + "x" * 1000, headers=headers)
        assert ok.json()["added"] == 1, ok.text
        refused = await owner.http.post(url, content="text\n" + "x" * 2000, headers=headers)
        assert refused.status_code == 413
        assert "GRADBOOK_MAX_IMPORT_BYTES" in refused.json()["errors"][0]["message"]


async def test_points_go_through_a_server_and_a_file_that_breaks_off_does_not_end(
    server: Server, database_url: str
) -> None:
    async with Client(server, server.key) as owner:
        task = (await owner.mutate(operation("CreateTrainTask"), {"modelName": "m"}))["task"]["id"]
        points = {"steps": list(range(5_000)), "values": [0.5] * 5_000}
        report = {"id": task, "sequence": 0, "series": [{"metric": name, **points} for name in ("a", "b")]}
        await owner.mutate(operation("ReportProgress"), report)
        whole = await owner.http.get(f"/tasks/{task}/metrics.csv")
        assert whole.headers["content-type"] == "text/csv; charset=utf-8"
        assert [line.rsplit(",", 1)[0] for line in whole.text.splitlines()[1:]] == [
            f"{name},{step},0.5" for name in ("a", "b") for step in range(5_000)
        ]
        head = await owner.http.head(f"/tasks/{task}/metrics.csv")
        assert (head.status_code, head.headers["content-type"], head.content) == (200, "text/csv; charset=utf-8", b"")

        damage = "UPDATE metric_chunk SET steps = times WHERE metric_id = (SELECT id FROM metric WHERE name = 'b')"
        async with await Database.open(database_url) as database:
            await database.transact(lambda uow: uow.connection.execute(text(damage)))
        with pytest.raises(httpx2.RemoteProtocolError, match="incomplete"):
            await owner.http.get(f"/tasks/{task}/metrics.csv")
        assert "DamagedColumnError" in server.log
