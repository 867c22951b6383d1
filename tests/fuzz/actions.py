"""Mutations of annotation and of training, drawn about what earlier ones made: valid ones, and nearly valid ones.

Things have names like `rec#3`, the fourth record that an answer showed, since each database draws ids of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from tests.fuzz.damage import WRONG_VALUES
from tests.fuzz.grammar import ODD_IDS
from tests.graphql.drawing import Draw


def _is_json(value: Any) -> bool:
    """Whether a body can say it; what no body of ours can say is sent all the same by test_doors."""
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True


WRONG = [value for value in WRONG_VALUES if _is_json(value)]
QUESTIONS = [
    {"name": "quality", "settings": {"rating": {"min": 1, "max": 5}}},
    {"name": "topic", "required": False, "settings": {"label": {"options": [{"value": "war"}, {"value": "peace"}]}}},
]
ANSWERS = [{"quality": 4}, {"quality": 1, "topic": "war"}, {"quality": 5, "topic": "peace"}]
BAD_ANSWERS = [{}, {"quality": 6}, {"topic": "war"}, {"quality": "4"}, {"quality": 3, "other": 1}, {"topic": "x"}]
METRICS = ["loss", "eval/loss", "中"]

RECORD = "id externalId status submittedCount required metadata responses { totalCount nodes { id status values } }"
RESPONSE = f"response {{ id status values }} record {{ {RECORD} }}"
TASK = """task { id modelName status attempt maxAttempts stopRequested step epoch totalSteps progress tags notes
  error version summary createUser { username } retryOf { id } nextAttempt { id }
  metrics { name points last lastStep min } }"""
DATASET = "dataset { id name minSubmitted guidelines progress { total completed pending } }"
ERRORS = "errors { code path message }"

SHOWN = {
    "Dataset": DATASET,
    "TrainTask": TASK,
    "Response": RESPONSE,
    "addRecords": f"added updated skipped results {{ index record {{ {RECORD} }} {ERRORS} }}",
    "submitResponses": f"submitted results {{ index {RESPONSE} {ERRORS} }}",
    "saveDraft": RESPONSE,
    "nextRecords": f"records {{ {RECORD} }}",
    "startTrainTask": f"nextSequence {TASK}",
    "reportProgress": "accepted nextSequence stopRequested",
}


class Actions:
    """Draws inputs. `known` and `gone` have the names of things by prefix: of those that there are, and that were.

    `tasks` are those by status, `sequences` the number of the report that each expects, `accepted` what it took last.
    """

    def __init__(self, d: Draw) -> None:
        self.d = d
        self.known: dict[str, list[str]] = {}
        self.gone: dict[str, list[str]] = {}
        self.tasks: dict[str, list[str]] = {}
        self.sequences: dict[str, int] = {}
        self.accepted: dict[str, dict[str, Any]] = {}

    def draw(self) -> tuple[str, str, dict[str, Any]]:
        """Who says it, a mutation's name and its input."""
        d = self.d
        name = next((name for prefix, name in FIRST.items() if prefix not in self.known), "") or d.one(OFTEN)
        given = INPUTS[name](self)
        who = "admin" if name in MANAGERS and d.chance(90) else d.one(["owner", "admin", "ann", "ann", "ben", "eve"])
        if d.chance(6):
            given[d.one([*given, "more"])] = d.one(WRONG)
        return who, name, given

    def any(self, prefix: str) -> str:
        """Something of a kind; the latest ones more often, now and then what has gone or never was."""
        found = self.known.get(prefix, ())
        if not found or self.d.chance(5):
            return self.d.one(self.gone.get(prefix) or [text for text in ODD_IDS if text.isprintable()])
        return self.d.one(found[-4:] if self.d.chance(50) else found)

    def task(self, *statuses: str) -> str:
        """A training task, mostly one in such a status."""
        fitting = [name for status in statuses for name in self.tasks.get(status, ())]
        return self.d.one(fitting) if fitting and self.d.chance(75) else self.any("tsk")

    def values(self) -> Any:
        return self.d.one(ANSWERS if self.d.chance(85) else BAD_ANSWERS)

    def dataset(self) -> dict[str, Any]:
        return {
            "name": f"d{self.d.upto(5)}",
            "fields": [{"name": "text"}],
            "questions": QUESTIONS,
            "minSubmitted": 1 + self.d.upto(2),
        }

    def changes(self) -> dict[str, Any]:
        made: dict[str, Any] = {"id": self.any("dst"), "minSubmitted": self.d.one([1, 1, 2, 2, 3, 0, -1, 10**6])}
        return made | ({"name": f"d{self.d.upto(5)}"} if self.d.chance(20) else {})

    def records(self) -> dict[str, Any]:
        return {
            "datasetId": self.any("dst"),
            "onConflict": self.d.one(["ERROR", "SKIP", "UPDATE"]),
            "records": [self.record() for _ in range(self.d.upto(4))],
        }

    def record(self) -> dict[str, Any]:
        d = self.d
        made: dict[str, Any] = {"fields": {"text": f"Passage {d.upto(9)}"} if d.chance(92) else d.one([{}, {"x": 1}])}
        if d.chance(70):
            made["externalId"] = f"e{d.upto(6)}"
        if d.chance(30):
            made["metadata"] = {"n": d.upto(3)}
        if d.chance(30):
            given = {"question": d.one(["quality", "topic", "none"]), "value": d.one([3, "war", 9]), "score": 0.5}
            made["suggestions"] = [given] * d.one([1, 1, 2])
        return made

    def answers(self) -> dict[str, Any]:
        def one() -> dict[str, Any]:
            status = self.d.one(["SUBMITTED", "SUBMITTED", "DRAFT", "DISCARDED"])
            return {"recordId": self.any("rec"), "values": self.values(), "status": status}

        return {"responses": [one() for _ in range(self.d.upto(5))]}

    def new_task(self) -> dict[str, Any]:
        d = self.d
        made = {"modelName": f"m{d.upto(3)}", "maxAttempts": 1 + d.upto(2), "tags": [d.one(["a", "b"])]}
        return made | ({"extraParams": {"hub_token": "x", "n": d.upto(3)}} if d.chance(30) else {})

    def report(self) -> dict[str, Any]:
        """The source's next report; at times the last one again, another one under its number, or one too early."""
        d, task = self.d, self.task("RUNNING")
        if task in self.accepted and d.chance(40):
            return dict(self.accepted[task])
        sequence = self.sequences.get(task, 0)
        steps = [d.upto(9) for _ in range(d.one([0, 1, 2, 3, 4]))]
        series = [{"metric": d.one(METRICS), "steps": steps, "values": [d.one([0.5, -1, 3, "NaN"]) for _ in steps]}]
        return {"id": task, "sequence": sequence + d.one([0, 0, 0, 0, -1, 1]), "series": series, "step": d.upto(99)}


INPUTS: dict[str, Callable[[Actions], dict[str, Any]]] = {
    "createDataset": Actions.dataset,
    "updateDataset": Actions.changes,
    "deleteDataset": lambda make: {"id": make.any("dst")},
    "addRecords": Actions.records,
    "submitResponse": lambda make: {"recordId": make.any("rec"), "values": make.values()},
    "saveDraft": lambda make: {"recordId": make.any("rec"), "values": make.d.one([None, make.values()])},
    "discardResponse": lambda make: {"recordId": make.any("rec")},
    "submitResponses": Actions.answers,
    "deleteResponse": lambda make: {"id": make.any("rsp")},
    "nextRecords": lambda make: {"datasetId": make.any("dst"), "first": make.d.one([1, 2, 5])},
    "createTrainTask": Actions.new_task,
    "startTrainTask": lambda make: {"id": make.task("PENDING", "CANCELED"), "totalSteps": make.d.one([None, 10, 100])},
    "reportProgress": Actions.report,
    "finishTrainTask": lambda make: {"id": make.task("RUNNING"), "summary": make.d.one([None, {"a": 1}])},
    "failTrainTask": lambda make: {"id": make.task("RUNNING"), "error": make.d.one(["broken", "", "out of memory"])},
    "cancelTrainTask": lambda make: {"id": make.task("PENDING", "RUNNING")},
    "retryTrainTask": lambda make: {"id": make.task("FAILED")},
    "cloneTrainTask": lambda make: {"id": make.any("tsk"), "overrides": {"notes": "again"}},
    "updateTrainTask": lambda make: {
        "id": make.any("tsk"),
        "addTags": [make.d.one(["c", "d"])],
        "set": make.d.one([{"notes": "n"}, {"notes": None}, {"modelName": "x"}, {"maxAttempts": 3}]),
    },
    "deleteTrainTask": lambda make: {"id": make.any("tsk")},
    "restoreTrainTask": lambda make: {"id": make.any("tsk")},
    "purgeTrainTask": lambda make: {"id": make.any("tsk")},
}
FIRST = {"dst": "createDataset", "rec": "addRecords", "tsk": "createTrainTask"}
MANAGERS = {"createDataset", "updateDataset", "deleteDataset", "addRecords", "createTrainTask", "startTrainTask",
            "reportProgress", "failTrainTask", "finishTrainTask", "retryTrainTask", "purgeTrainTask"}  # fmt: skip
TIMES = {"deleteDataset": 1, "createDataset": 1, "purgeTrainTask": 1, "deleteTrainTask": 2, "cancelTrainTask": 2,
         "addRecords": 6, "updateDataset": 6, "submitResponse": 8, "submitResponses": 8, "reportProgress": 12,
         "startTrainTask": 8}  # fmt: skip
OFTEN = [name for name in INPUTS for _ in range(TIMES.get(name, 4))]


def document(name: str) -> str:
    """A mutation that shows all that may not depend on the time and the database."""
    kind = name[0].upper() + name[1:]
    wanted = SHOWN.get(name) or next(shown for thing, shown in SHOWN.items() if name.endswith(thing))
    return f"mutation ($input: {kind}Input!) {{ {name}(input: $input) {{ {wanted} {ERRORS} }} }}"
