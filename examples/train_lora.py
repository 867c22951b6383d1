"""Fine-tune a small model by a low-rank update, and report its loss to Gradbook while it trains.

    python examples/train_lora.py --key gb_…

The model says of which party the president was who spoke a passage. Its base is frozen: random features of words, and
a classifier fitted to them. Trained is only B·A, the low-rank update of the features' matrix: 68,000 numbers beside two
million. What rank and learning rate are is said by a config as lora-scripts has them, which becomes a training task.

The second half shows how any script reports: `Gradbook` and `Reporter` need nothing but Python's own library.
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import os
import re
import socket
import threading
import time
import traceback
import urllib.error
import urllib.request
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # for matrices this small, threads only wait for each other

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).parent
Array = NDArray[np.float32]
DIVERGED = 1e3  # a loss that does not come back


# The model ----------------------------------------------------------------------------------------------------------


class Adam:
    """Changes weights by their gradients: Kingma and Ba, 2015."""

    def __init__(self, weights: Array) -> None:
        self.weights, self.updates = weights, 0
        self.first, self.second = np.zeros_like(weights), np.zeros_like(weights)

    def update(self, gradient: Array, learning_rate: float) -> None:
        self.updates += 1
        self.first += 0.1 * (gradient - self.first)
        self.second += 0.001 * (gradient**2 - self.second)
        first, second = self.first / (1 - 0.9**self.updates), self.second / (1 - 0.999**self.updates)
        self.weights -= learning_rate * first / (np.sqrt(second) + 1e-8)


class Model:
    """relu(x · (W + s·A·B)) · head: `W` and `head` are frozen, the low-rank A and B are trained. s is alpha / rank."""

    def __init__(self, features: int, hidden: int, rank: int, alpha: float, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.W = self.random.normal(0, 1, (features, hidden)).astype(np.float32)
        self.A = self.random.normal(0, 0.1 / np.sqrt(rank), (features, rank)).astype(np.float32)
        self.B = np.zeros((rank, hidden), np.float32)  # so it begins as the base
        self.scale = np.float32(alpha / rank)
        self.mean = self.head = np.zeros(hidden, np.float32)
        self.adams = Adam(self.A), Adam(self.B)
        self.steps = 0

    def fit_base(self, x: Array, y: Array) -> Array:
        """The head by ridge regression on the frozen features; from then on it is frozen, too. Returns x · W."""
        frozen: Array = x @ self.W
        hidden = np.maximum(frozen, 0)
        self.mean = hidden.mean(0)
        hidden -= self.mean
        gram = hidden.T @ hidden + np.eye(hidden.shape[1], dtype=np.float32)
        self.head = 4 * np.linalg.solve(gram, hidden.T @ (2 * y - 1)).astype(np.float32)
        return frozen

    def accuracy(self, x: Array, y: Array) -> float:
        """The share of passages that it gets right."""
        hidden = np.maximum(x @ self.W + self.scale * (x @ self.A) @ self.B, 0)
        return float((((hidden - self.mean) @ self.head > 0) == (y > 0.5)).mean())

    def step(self, x: Array, frozen: Array, y: Array, learning_rate: float) -> float:
        """One step on a batch, of which x · W is `frozen`; the batch's loss before it."""
        low = x @ self.A
        hidden = frozen + self.scale * low @ self.B
        score = (np.maximum(hidden, 0) - self.mean) @ self.head
        loss = np.logaddexp(0, np.where(y > 0.5, -score, score)).mean()
        error = (np.exp(-np.logaddexp(0, -score)) - y) / len(y)
        back = self.scale * np.outer(error, self.head) * (hidden > 0)
        self.steps += 1
        gradients = x.T @ (back @ self.B.T), low.T @ back
        for adam, gradient in zip(self.adams, gradients, strict=True):
            adam.update(gradient, learning_rate)
        return float(loss)


class Data(NamedTuple):
    """Passages as features, and 1 for those of Democrats; `test_x` and `test_y` are held out of the training."""

    x: Array
    y: Array
    test_x: Array
    test_y: Array

    def batches(self, size: int) -> int:
        """How many there are in an epoch."""
        return -(-len(self.y) // size)


def read_passages(path: Path, features: int) -> Data:
    """Words and pairs of words, hashed to so many features.

    Held out are whole addresses, every fifth year's: passages of one speech tell each other's words.
    """
    passages = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    x = np.zeros((len(passages), features), np.float32)
    for row, passage in zip(x, passages, strict=True):
        words = re.findall(r"[a-z']+", passage["fields"]["text"].lower())
        for term in [*words, *map(" ".join, pairwise(words))]:
            row[zlib.crc32(term.encode()) % features] += 1
    np.log1p(x, out=x)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y = np.array([passage["metadata"]["party"] == "Democratic" for passage in passages], np.float32)
    test = np.array([passage["metadata"]["year"] % 5 == 1 for passage in passages])
    return Data(x[~test], y[~test], x[test], y[test])


def train(task: dict[str, Any], data: Data, reporter: Reporter) -> tuple[Model, dict[str, float]]:
    """Train as the task says, and report; the model, and what there is to say of it."""
    more = task["extraParams"]
    model = Model(more["features"], more["hidden"], task["loraRank"], task["loraAlpha"], more["seed"])
    frozen = model.fit_base(data.x, data.y)
    majority = float(max(data.test_y.mean(), 1 - data.test_y.mean()))
    base = accuracy = model.accuracy(data.test_x, data.test_y)
    print(f"{len(data.test_y)} passages are held out: majority {majority:.3f}, frozen base {base:.3f}", flush=True)
    reporter.add("accuracy", 0, base)
    for epoch in range(1, task["epochs"] + 1):
        losses = []
        for batch in np.array_split(model.random.permutation(len(data.y)), data.batches(task["batchSize"])):
            losses.append(model.step(data.x[batch], frozen[batch], data.y[batch], task["learningRate"]))
            reporter.add("loss", model.steps, losses[-1])
            if not losses[-1] < DIVERGED:
                raise FloatingPointError(f"The loss is {losses[-1]:g} at step {model.steps}: the training diverges.")
            if reporter.stop_requested:
                raise Stopped
        accuracy = model.accuracy(data.test_x, data.test_y)
        reporter.add("accuracy", model.steps, accuracy)
        print(f"epoch {epoch}: loss {np.mean(losses):.3f}, accuracy {accuracy:.3f}", flush=True)
    return model, {"accuracy": accuracy, "baseAccuracy": base, "majority": majority}


# The reporting ------------------------------------------------------------------------------------------------------

REPORT_SECONDS = 0.5
MAX_POINTS = 10_000  # of a report
DAY = 86_400  # seconds; so long a server may be away
TRY_AGAIN = {"DATABASE_BUSY", "DATABASE_UNAVAILABLE", "OUTCOME_UNKNOWN", "INTERNAL"}
NAMES = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}  # JSON has no numbers for these

IMPORT = """mutation ($input: ImportTrainConfigInput!) { importTrainConfig(input: $input) {
  task { id loraRank loraAlpha learningRate batchSize epochs trainDataDir extraParams }
  redacted warnings { message } errors { message path } } }"""
START = """mutation ($input: StartTrainTaskInput!) {
  startTrainTask(input: $input) { nextSequence errors { message } } }"""
REPORT = """mutation ($input: ReportProgressInput!) {
  reportProgress(input: $input) { nextSequence stopRequested errors { message } } }"""
FINISH = "mutation ($input: FinishTrainTaskInput!) { finishTrainTask(input: $input) { errors { message } } }"
FAIL = "mutation ($input: FailTrainTaskInput!) { failTrainTask(input: $input) { errors { message } } }"
CANCEL = "mutation ($input: CancelTrainTaskInput!) { cancelTrainTask(input: $input) { errors { message } } }"


class Stopped(Exception):  # noqa: N818 - no error
    """Somebody asked for it."""


class RefusedError(Exception):
    """The server does not take this, and would not take it if it were sent again."""


class Gradbook:
    """A server, and the API key of who reports to it."""

    def __init__(self, server: str, key: str) -> None:
        self._url = f"{server.rstrip('/')}/graphql"
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def send(self, mutation: str, seconds: float = 60, **input: Any) -> dict[str, Any]:
        """The mutation's payload. What fails on its way is sent again, so it may arrive twice: all but IMPORT may.

        Raises RefusedError, and OSError after so many seconds of trying.
        """
        body = json.dumps({"query": mutation, "variables": {"input": input}}).encode()
        give_up = time.monotonic() + seconds
        while True:
            try:
                return self._post(body)
            except OSError:  # no connection, a timeout, a server that is being restarted
                if time.monotonic() >= give_up:
                    raise
                time.sleep(1)

    def _post(self, body: bytes) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(urllib.request.Request(self._url, body, self._headers), timeout=30) as answer:
                result = json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code >= 500:
                raise
            raise RefusedError(f"{error}: {error.read().decode(errors='replace')}") from None
        except (http.client.HTTPException, ValueError) as error:  # the answer was cut off
            raise ConnectionError(str(error)) from None
        for one in result.get("errors", ()):
            raise (ConnectionError if one["extensions"]["code"] in TRY_AGAIN else RefusedError)(one["message"])
        payload: dict[str, Any] = next(iter(result["data"].values()))
        if payload["errors"]:
            raise RefusedError("; ".join(one["message"] for one in payload["errors"]))
        return payload


class Reporter:
    """Sends points from a thread of its own, so that training never waits for the network and never ends by it.

    Each report has the next number of its source, and is sent under it until the server has taken it: it is stored
    once, however often it arrives. Points that come meanwhile wait for the next one.
    """

    def __init__(self, book: Gradbook, task: str, sequence: int) -> None:
        self.stop_requested = False
        self._book, self._task, self._sequence = book, task, sequence
        self._points: list[tuple[str, int, float, int]] = []  # metric, step, value, time
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def add(self, metric: str, step: int, value: float) -> None:
        """A point of a metric; it goes with the next report."""
        self._points.append((metric, step, value, int(time.time() * 1000)))

    def close(self, seconds: float = 60) -> None:
        """Send what is left; what takes longer is given up."""
        self._closing.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            while not self._closing.wait(REPORT_SECONDS):
                self._report()
            while self._points:
                self._report()
        except (RefusedError, OSError) as error:
            print(f"Nothing more is reported: {error}", flush=True)

    def _report(self) -> None:
        """One report of what there is; without points it says that the training runs."""
        points = self._points[:MAX_POINTS]
        del self._points[:MAX_POINTS]
        series: dict[str, dict[str, Any]] = {}
        for metric, step, value, milliseconds in points:
            one = series.setdefault(metric, {"metric": metric, "steps": [], "values": [], "times": []})
            one["steps"].append(step)
            one["values"].append(value if math.isfinite(value) else NAMES[str(value)])
            one["times"].append(milliseconds)
        at = {"step": points[-1][1]} if points else {}
        report = {"id": self._task, "sequence": self._sequence, "series": list(series.values()), **at}
        payload = self._book.send(REPORT, DAY, **report)
        self._sequence = payload["nextSequence"]
        self.stop_requested = payload["stopRequested"]


def main() -> None:
    """Make a task of the config, train, and tell how it ended."""
    arguments = read_arguments()
    book = Gradbook(arguments.server, arguments.key)
    imported = book.send(IMPORT, 0, format="TOML", text=arguments.config.read_text("utf-8"))
    for warning in imported["warnings"]:
        print(warning["message"])
    task = imported["task"]
    data = read_passages(HERE / task["trainDataDir"], task["extraParams"]["features"])
    steps = task["epochs"] * data.batches(task["batchSize"])
    started = book.send(START, id=task["id"], host=socket.gethostname(), totalSteps=steps)
    print(f"Training {task['id']}, {steps} steps", flush=True)
    reporter = Reporter(book, task["id"], started["nextSequence"])
    try:
        model, summary = train(task, data, reporter)
        if arguments.output:
            np.savez(arguments.output, A=model.A, B=model.B)
        reporter.close()
        book.send(FINISH, id=task["id"], summary=summary, outputPath=arguments.output)
        print(f"Done: {summary['accuracy']:.3f} of the held-out passages are right.")
    except Stopped:
        print("Stopped: the task was canceled.")
    except KeyboardInterrupt:
        book.send(CANCEL, 5, id=task["id"])
    except Exception as error:
        reporter.close()
        book.send(FAIL, id=task["id"], error=f"{type(error).__name__}: {error}", logTail=traceback.format_exc())
        raise


def read_arguments() -> argparse.Namespace:
    environment = os.environ.get
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default=environment("GRADBOOK_URL", "http://127.0.0.1:8000"), help="GRADBOOK_URL")
    parser.add_argument("--key", default=environment("GRADBOOK_API_KEY"), help="an API key; GRADBOOK_API_KEY")
    parser.add_argument("--config", type=Path, default=HERE / "train_lora.toml")
    parser.add_argument("--output", help="a file for the trained update, .npz")
    arguments = parser.parse_args()
    if not arguments.key:
        parser.error("--key or GRADBOOK_API_KEY is missing: `gradbook key create NAME` makes one")
    return arguments


if __name__ == "__main__":
    main()
