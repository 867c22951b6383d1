"""Simulated annotators and a simulated model: what they answer follows from the text and from habits of their own.

Nothing is drawn at random: where somebody hesitates, a hash of who, what and which record decides. So the demo is the
same wherever it is made, and people differ in the way people do: in what they see first and what they overlook.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.annotation.demo.reading import Reading, read
from app.annotation.record_items import SuggestionInput

MODEL = "demo-model"


@dataclass(frozen=True, slots=True)
class Habits:
    """What somebody tends to: milder or sharper tones, a topic found everywhere, a label that they overlook."""

    username: str
    tone: int
    topic: str
    overlooks: str
    doubts: float
    """How often they see it otherwise, from 0 to 1."""


PEOPLE = (
    Habits("demo-ann", 0, "law", "DATE", 0.10),
    Habits("demo-ben", 1, "economy", "PLACE", 0.20),
    Habits("demo-mei", 0, "conduct", "", 0.05),
    Habits("demo-raj", -1, "foreign", "DATE", 0.25),
    Habits("demo-zoe", 0, "land", "PERSON", 0.35),
)
_MODEL = Habits(MODEL, 0, "law", "", 0.15)


def chance(*what: object) -> float:
    """A number from 0 to 1 that is always the same for the same things."""
    digest = hashlib.sha256("\n".join(map(str, what)).encode()).digest()
    return int.from_bytes(digest[:6]) / 2**48


def answers(person: Habits, key: str, text: str) -> dict[str, Any]:
    """What somebody answers about the passage of this external id."""
    reading = read(text)
    topic = _topic(person, key, reading)
    values: dict[str, Any] = {
        "topic": topic,
        "tone": _tone(person, key, reading),
        "themes": _themes(person, key, reading),
        "appeal": _appeal(person, key, reading),
        "names": _names(person, key, reading),
    }
    if chance(person.username, key, "comments") < 0.25:
        values["comment"] = _comment(person, key, topic, values, text)
    return values


def suggestions(key: str, text: str) -> list[SuggestionInput]:
    """What the simulated model suggests, the surer the more words speak for it; some passages it leaves alone."""
    if chance(MODEL, key, "silent") < 0.1:
        return []
    reading = read(text)
    values = answers(_MODEL, key, text)
    values["comment"] = f"Mostly about {values['topic']}; names found: {len(reading.names)}."
    return [
        SuggestionInput(question, value, _score(question, key, reading), MODEL) for question, value in values.items()
    ]


def _topic(person: Habits, key: str, reading: Reading) -> str:
    weights = {option: float(count) for option, count in reading.topics.items()}
    weights[person.topic] += 0.6
    for option in weights:
        weights[option] += 3 * max(0.0, chance(person.username, key, option) - 1 + person.doubts)
    return max(weights, key=lambda option: weights[option])


def _tone(person: Habits, key: str, reading: Reading) -> int:
    doubt = chance(person.username, key, "tone")
    shift = 1 if doubt < person.doubts / 2 else -1 if doubt > 1 - person.doubts / 2 else 0
    return min(5, max(1, reading.tone + person.tone + shift))


def _themes(person: Habits, key: str, reading: Reading) -> list[str]:
    seen = [option for option, count in reading.themes.items() if count > 2 * chance(person.username, key, option)]
    return seen or [max(reading.themes, key=lambda option: reading.themes[option])]


def _appeal(person: Habits, key: str, reading: Reading) -> list[dict[str, Any]]:
    """Ties where the text speaks for two alike and nobody doubts."""
    weights = {
        option: count + (chance(person.username, key, "appeal", option) < person.doubts)
        for option, count in reading.appeals.items()
    }
    return [
        {"value": option, "rank": 1 + sum(other > weight for other in weights.values())}
        for option, weight in weights.items()
    ]


def _names(person: Habits, key: str, reading: Reading) -> list[dict[str, Any]]:
    return [
        {"start": start, "end": end, "label": label}
        for start, end, label in reading.names
        if chance(person.username, key, start) >= person.doubts * (2.5 if label == person.overlooks else 0.5)
    ]


def _comment(person: Habits, key: str, topic: str, values: Mapping[str, Any], text: str) -> str:
    beginning = text[:24].rstrip("，。、；, ")
    remarks = (
        f"“{beginning}…” sets the tone.",
        f"Could as well be something else than {topic}.",
        "Names nobody." if not values["names"] else f"Names {len(values['names'])}, the first is what it turns on.",
        "Worth reading twice.",
    )
    return remarks[int(chance(person.username, key, "remark") * len(remarks))]


def _score(question: str, key: str, reading: Reading) -> float:
    """From 0.5 to 0.99."""
    counts: Mapping[str, Mapping[str, int]] = {
        "topic": reading.topics,
        "themes": reading.themes,
        "appeal": reading.appeals,
    }
    evidence = max(counts[question].values()) if question in counts else 1
    doubt: float = 0.6 ** (evidence + chance(MODEL, key, question, "score"))
    return round(0.5 + 0.49 * (1 - doubt), 2)
