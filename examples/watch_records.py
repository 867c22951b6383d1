"""Print the records of a dataset whenever they change, until Ctrl-C.

    python examples/watch_records.py passages --key gb_…

It speaks graphql-transport-ws, the protocol of GraphQL subscriptions, by nothing but the library `websockets`. When the
connection is lost it goes on after the last message it saw, so it misses nothing.
"""

import argparse
import asyncio
import contextlib
import json
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection, connect

FIND = "query ($name: String!) { datasets(where: {name: {eq: $name}}) { nodes { id } } }"
WATCH = """
subscription ($dataset: ID!, $after: String) {
  recordChanged(datasetId: $dataset, after: $after) {
    cursor
    records { externalId status submittedCount }
    progress { total completed }
  }
}"""


async def receive(socket: ClientConnection) -> dict[str, Any]:
    """The next message that is about the operation."""
    while True:
        message: dict[str, Any] = json.loads(await socket.recv())
        if message["type"] == "ping":
            await socket.send(json.dumps({"type": "pong"}))
        elif message["type"] == "error":
            raise SystemExit(message["payload"][0]["message"])
        elif message["type"] != "pong":
            if errors := message.get("payload", {}).get("errors"):
                raise SystemExit(errors[0]["message"])
            return message


async def subscribe(socket: ClientConnection, query: str, variables: dict[str, Any]) -> None:
    payload = {"query": query, "variables": variables}
    await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))


async def open_socket(url: str, key: str) -> ClientConnection:
    socket = await connect(url, subprotocols=[websockets.Subprotocol("graphql-transport-ws")])
    await socket.send(json.dumps({"type": "connection_init", "payload": {"Authorization": f"Bearer {key}"}}))
    assert (await receive(socket))["type"] == "connection_ack"
    return socket


async def watch(url: str, key: str, name: str) -> None:
    dataset = after = None
    while True:
        try:
            async with await open_socket(url, key) as socket:
                if dataset is None:
                    await subscribe(socket, FIND, {"name": name})
                    found = (await receive(socket))["payload"]["data"]["datasets"]["nodes"]
                    if not found:
                        raise SystemExit(f"There is no dataset {name!r} that this key may see.")
                    dataset = found[0]["id"]
                    await receive(socket)  # complete
                await subscribe(socket, WATCH, {"dataset": dataset, "after": after})
                while (message := await receive(socket))["type"] == "next":
                    change = message["payload"]["data"]["recordChanged"]
                    after = change["cursor"]
                    show(change)
        except (OSError, websockets.ConnectionClosed) as error:
            if getattr(getattr(error, "rcvd", None), "code", None) == 4403:
                raise SystemExit("The server does not know this key.") from None
            print(f"({error}; trying again)", flush=True)
            await asyncio.sleep(2)


def show(change: dict[str, Any]) -> None:
    progress = change["progress"]
    for record in change["records"]:
        print(f"{record['externalId']}: {record['status']}, {record['submittedCount']} submitted")
    print(f"{progress['completed']} of {progress['total']} completed", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="its name")
    parser.add_argument("--key", required=True, help="an API key")
    parser.add_argument("--url", default="ws://127.0.0.1:8000/graphql")
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(watch(arguments.url, arguments.key, arguments.dataset))
