"""A training script's process: reports what comes next, and notes in a file what was acknowledged.

    python reporter.py ADDRESS TASK SOURCE REPORTS FILE

It is killed and started again. What was not acknowledged it sends (again), and the last report that was, too, as one
who does not remember. The key is in GRADBOOK_KEY. It ends with 0 when all is acknowledged, with 3 when the server is
away.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import httpx2

POINTS = 5
START = "mutation ($input: StartTrainTaskInput!) { startTrainTask(input: $input) { nextSequence errors { code } } }"
REPORT = """mutation ($input: ReportProgressInput!) {
    reportProgress(input: $input) { accepted nextSequence errors { code message } } }"""


def report(source: str, number: int) -> dict[str, Any]:
    """The source's report of this number: always the same."""
    steps = [number * POINTS + n for n in range(POINTS)]
    loss = {"metric": "loss", "steps": steps, "values": [step / 8 for step in steps], "times": steps}
    own = {"metric": source, "steps": [number], "values": ["NaN" if number % 3 else number], "times": [number]}
    return {"source": source, "sequence": number, "step": steps[-1], "series": [loss, own]}


def main(address: str, task: str, source: str, reports: int, file: Path) -> None:
    """Sends what is left."""
    acknowledged = len(file.read_bytes()) if file.exists() else 0
    headers = {"authorization": f"Bearer {os.environ['GRADBOOK_KEY']}"}
    with (
        httpx2.Client(base_url=address, headers=headers, timeout=60, verify=False) as http,
        file.open("ab", 0) as notes,
    ):

        def mutate(query: str, input: dict[str, Any]) -> Any:
            answer = http.post("/graphql", json={"query": query, "variables": {"input": {"id": task, **input}}}).json()
            (payload,) = answer["data"].values()
            assert payload["errors"] == [], payload
            return payload

        expected = mutate(START, {"source": source})["nextSequence"]
        assert acknowledged <= expected <= acknowledged + 1, (acknowledged, expected)
        for number in range(max(acknowledged - 1, 0), reports):
            answer = mutate(REPORT, report(source, number))
            assert answer["accepted"] == (0 if number < expected else POINTS + 1), answer
            if number >= acknowledged:
                notes.write(b".")


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), Path(sys.argv[5]))
    except httpx2.TransportError:
        sys.exit(3)
