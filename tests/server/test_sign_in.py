"""Failed sign-ins run out on all servers together, by the addresses that a trusted proxy names."""

from __future__ import annotations

from typing import Any

import httpx2

from app.accounts.http import DEVICE_COOKIE
from tests.api.conftest import operation
from tests.server.conftest import Start
from tests.support.server import Client, Server

PASSWORD = "correct horse"


async def sign_in(
    server: Server, username: str, password: str, address: str, device: str | None = None
) -> httpx2.Response:
    headers = {"x-forwarded-for": address} | ({"cookie": f"{DEVICE_COOKIE}={device}"} if device else {})
    async with httpx2.AsyncClient(base_url=server.address, timeout=60) as client:
        return await client.post("/sign-in", json={"username": username, "password": password}, headers=headers)


async def test_failed_sign_ins_run_out_on_all_servers_together(start: Start) -> None:
    limits = {"sign_in_attempts": "2", "sign_in_attempts_per_address": "4", "sign_in_window_minutes": "1440"}
    first = start(**limits)
    second = start(**limits)

    async def fail(server: Server, username: str, address: str) -> int:
        answer = await sign_in(server, username, "wrong horse", address)
        assert ("retry-after" in answer.headers) == (answer.status_code == 429)
        return answer.status_code

    async with Client(first, first.key) as owner:
        new = {"username": "ann", "role": "OWNER", "password": PASSWORD}
        await owner.mutate(operation("CreateUser"), new)
        right = await sign_in(first, "ann", PASSWORD, "192.0.2.1")
        device = right.cookies[DEVICE_COOKIE]
        assert [await fail(one, "ann", "192.0.2.1") for one in (first, second, first, second)] == [401, 401, 429, 429]
        refused = await sign_in(second, "ann", PASSWORD, "192.0.2.2")
        assert refused.status_code == 429
        assert 0 < int(refused.headers["retry-after"]) <= 43_200
        [error] = refused.json()["errors"]
        assert error["extensions"]["code"] == "RATE_LIMITED"
        assert (await sign_in(second, "ann", PASSWORD, "192.0.2.2", device)).status_code == 200

        # The address has two attempts left, for whomever: and nobody sees that there is no `nobody`.
        assert [await fail(second, "nobody", "192.0.2.1") for _ in range(3)] == [401, 401, 429]
        assert [await fail(second, "cem", "192.0.2.1"), await fail(second, "cem", "192.0.2.3")] == [429, 401]

        query = """query ($action: AuditAction!) { auditEvents(where: {action: {eq: $action}}) {
            nodes { subjectName address door requestId } } }"""
        failed: Any = await owner.run(query, {"action": "SIGN_IN_FAILED"})
        assert [(event["subjectName"], event["address"]) for event in failed["auditEvents"]["nodes"]] == [
            *[("ann", "192.0.2.1")] * 2,
            *[(None, "192.0.2.1")] * 2,
            (None, "192.0.2.3"),
        ]
        signed_in: Any = await owner.run(query, {"action": "SIGNED_IN"})
        [event, _] = signed_in["auditEvents"]["nodes"]
        assert event == {
            "subjectName": "ann",
            "address": "192.0.2.1",
            "door": "HTTP",
            "requestId": right.headers["x-request-id"],
        }


async def test_nobody_is_believed_who_is_no_trusted_proxy(start: Start) -> None:
    server = start(sign_in_attempts_per_address="2", sign_in_window_minutes="1440", trusted_proxies="192.0.2.0/24")
    answers = [await sign_in(server, f"user{n}", "wrong horse", f"192.0.2.{n}") for n in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 429]
