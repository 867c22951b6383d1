"""Files in and out of a real server."""

from __future__ import annotations

from typing import Any

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
