"""Write the training runs that `gradbook demo` shows: real ones of train_lora.py, with several ranks and rates.

    python -m examples.record_demo app/training/demo/runs.jsonl

It takes a minute. A line is a run: whose it is, its inputs as createTrainTask takes them, when it began and ended (ms
since 1970), how it ended, and its points: a metric's first step and how far apart they are, its values to three digits,
and the ms since the point before, or since the beginning.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from examples.train_lora import HERE, Data, Reporter, Stopped, read_passages, train

SPEECHES = HERE / "speeches.jsonl"
FIXED = {"modelName": "party-of-a-passage", "modelPath": "frozen-random-features", "loraAlpha": 16, "batchSize": 32}
FEATURES, HIDDEN, SEED, EPOCHS = 8192, 256, 1, 20

# Whose, rank, learning rate; some are tried, one is given up. The last is the one that the demo shows first.
RUNS = [
    ("demo-raj", 8, 3.0),  # far too high
    ("demo-raj", 32, 1e-5),  # so slow that it is canceled
    ("demo-raj", 2, 1e-4),
    ("demo-raj", 2, 3e-4),
    ("demo-raj", 2, 1e-3),
    ("demo-mei", 32, 1e-4),
    ("demo-mei", 32, 3e-4),
    ("demo-mei", 32, 1e-3),
    ("demo-mei", 8, 3e-5),
    ("demo-mei", 8, 1e-4),
    ("demo-mei", 8, 1e-3),
    ("demo-mei", 8, 3e-4),
]
CANCELED_AT = {1e-5: 400}  # by learning rate, the step


class Recorder(Reporter):
    """Keeps the points instead of sending them, and asks to stop as a canceled task does."""

    def __init__(self, began: int, last_step: int | None) -> None:
        self.stop_requested = False
        self.metrics: dict[str, dict[str, Any]] = {}
        self._began, self._last_step = began, last_step
        self._heard: dict[str, tuple[int, int]] = {}  # by metric, the step and the time of its last point

    def add(self, metric: str, step: int, value: float) -> None:
        """A point of a metric."""
        now = milliseconds()
        one = self.metrics.setdefault(metric, {"first": step, "every": 1, "values": [], "waits": []})
        before, heard = self._heard.get(metric, (step, self._began))
        if len(one["values"]) == 1:
            one["every"] = step - before
        assert step == one["first"] + one["every"] * len(one["values"])
        one["values"].append(float(f"{value:.3g}"))
        one["waits"].append(now - heard)
        self._heard[metric] = step, now
        self.stop_requested = step == self._last_step


def record(data: Data, user: str, rank: int, rate: float) -> dict[str, Any]:
    """One run."""
    extra = {"features": FEATURES, "hidden": HIDDEN, "seed": SEED}
    inputs: dict[str, Any] = FIXED | {"loraRank": rank, "learningRate": rate, "epochs": EPOCHS, "extraParams": extra}
    inputs |= {"trainDataDir": f"examples/{SPEECHES.name}", "tags": ["demo"]}
    began = milliseconds()
    recorder = Recorder(began, CANCELED_AT.get(rate))
    ended: dict[str, Any]
    try:
        _, summary = train(inputs, data, recorder)
        ended = {"status": "SUCCESS", "summary": {name: round(value, 4) for name, value in summary.items()}}
    except Stopped:
        ended = {"status": "CANCELED"}
    except FloatingPointError as error:
        ended = {"status": "FAILED", "error": f"{type(error).__name__}: {error}"}
    steps = EPOCHS * data.batches(inputs["batchSize"])
    times = {"began": began, "ended": milliseconds()}
    return {"user": user, "inputs": inputs, **times, "totalSteps": steps, **ended, "metrics": recorder.metrics}


def milliseconds() -> int:
    return int(time.time() * 1000)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    speeches = read_passages(SPEECHES, FEATURES)
    lines = [json.dumps(record(speeches, *run), separators=(",", ":")) + "\n" for run in RUNS]
    arguments.output.write_text("".join(lines), "utf-8")
