"""Which parameters a history of runs speaks for: a model of the metric over the parameters, and its best place.

The model is scikit-learn's Gaussian process, which tells noise from effect in tens of runs. scikit-learn is an extra of
the package and takes a second to import, and the arithmetic may take as long: call this in a thread. The same runs give
the same advice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.db.types import json_text
from app.training.goals import Goal

MAX_AXES = 20
MAX_LEVELS = 8
"""A number that was tried with no more different values stays one of them: a rank of 16 or 32, never 23."""

MAX_CHOICES = 10
"""A text with more different values names a file or a run, and is no choice."""

_KNOWN = 0.8  # the share of the runs that have a parameter, below which it is left out
_DRAWN = 3_000  # places that are looked at
_NEARBY = 1_000  # more of them, around the best
_SPREAD = 1_000  # places over which importance is measured
_OUTLIERS = 3.0  # quartile distances beyond the worse quartile

Floats = NDArray[np.float64]


class Run(NamedTuple):
    """What a run was given, by name, and what its metric came to."""

    parameters: Mapping[str, Any]
    metric: float


class Recommended(NamedTuple):
    """A value for a parameter, and its share, from 0 to 1, in what the parameters do to the metric."""

    name: str
    value: Any
    importance: float


@dataclass(frozen=True, slots=True)
class Advice:
    """What the runs speak for. `same` are parameters that do not vary, `left_out` those that tell too little.

    `expected` is what the model expects of the metric there, None where nothing varies. `explained` is the share, from
    0 to 1, of how the metric differs between runs that it can tell of a run which it has not seen.
    """

    parameters: list[Recommended]
    expected: float | None
    explained: float | None
    same: dict[str, Any]
    left_out: list[str]


def advise(runs: Sequence[Run], goal: Goal) -> Advice:
    """The place of which the model is most sure that it is good, within what was tried.

    It is the best by the expected metric made worse by one standard deviation, so it lies where runs have been. Raises
    ImportError without scikit-learn.
    """
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - comes with scikit-learn

    axes, same, left_out = _axes(runs)
    if not axes:
        return Advice([], None, None, same, left_out)
    # Matrices of some hundred rows: several threads of BLAS would wait for each other ten times as long.
    with threadpool_limits(1, user_api="blas"):
        return _advised(runs, goal, axes, same, left_out)


def _advised(
    runs: Sequence[Run], goal: Goal, axes: Sequence[_Axis], same: dict[str, Any], left_out: list[str]
) -> Advice:
    model = _Model(np.hstack([axis.encoded for axis in axes]), np.array([run.metric for run in runs]), goal)
    chance = np.random.default_rng(0)
    place = _best_place(model, axes, chance)
    shares = _importance(model, axes, chance)
    values = _split(place, axes)
    chosen = [Recommended(a.name, a.decode(v), s) for a, v, s in zip(axes, values, shares, strict=True)]
    # As it is told, that is: rounded, or the nearest of what was tried.
    told = np.hstack([axis.encode([one.value]) for axis, one in zip(axes, chosen, strict=True)])
    chosen.sort(key=lambda one: -one.importance)
    return Advice(chosen, float(model.expected(told)[0]), model.explained(), same, left_out)


# Parameters as coordinates


class _Number:
    """A parameter whose values are numbers: positive ones by their logarithms, all in 0 to 1."""

    def __init__(self, name: str, values: Sequence[Any]) -> None:
        known = sorted({value for value in values if value is not None})
        self.name = name
        self.is_whole = all(isinstance(value, int) for value in known)
        self.scale: Callable[[float], float] = math.log if known[0] > 0 else float
        self.least, self.most = known[0], known[-1]
        self.low, self.high = self.scale(self.least), self.scale(self.most)
        self.levels = known if len(known) <= MAX_LEVELS else None
        self.encoded = self.encode(values)

    def encode(self, values: Sequence[Any]) -> Floats:
        """A column; what a run does not say lies in the middle of what the others do."""
        span = (self.high - self.low) or 1.0
        places = [math.nan if v is None else (self.scale(v) - self.low) / span for v in values]
        column = np.array(places)
        column[np.isnan(column)] = np.nanmean(column)
        return column[:, None]

    def draw(self, count: int, chance: np.random.Generator) -> Floats:
        """Places that may be recommended."""
        if self.levels is not None:
            return chance.choice(self.encode(self.levels), count)
        return chance.random((count, 1))

    def near(self, places: Floats, chance: np.random.Generator) -> Floats:
        """Places around these."""
        if self.levels is not None:
            return places
        moved: Floats = np.clip(places + chance.normal(0, 0.05, places.shape), 0, 1)
        return moved

    def decode(self, place: Floats) -> Any:
        """The value of a place: one that was tried, or between those, with three digits."""
        if self.levels is not None:
            return self.levels[int(np.abs(self.encode(self.levels) - place).argmin())]
        scaled = self.low + float(place[0]) * (self.high - self.low)
        value = math.exp(scaled) if self.scale is math.log else scaled
        rounded = round(value) if self.is_whole else float(f"{value:.3g}")
        return min(max(rounded, self.least), self.most)


class _Choice:
    """A parameter whose values are texts or truths: a column for each, 1 where a run has it."""

    def __init__(self, name: str, values: Sequence[Any]) -> None:
        self.name = name
        self.levels = sorted({value for value in values if value is not None}, key=json_text)
        self.encoded = self.encode(values)

    def encode(self, values: Sequence[Any]) -> Floats:
        """A row of columns for each value; 0 in all of them for what a run does not say."""
        return np.array([[float(value is not None and value == level) for level in self.levels] for value in values])

    def draw(self, count: int, chance: np.random.Generator) -> Floats:
        """Places that may be recommended."""
        return chance.choice(self.encode(self.levels), count)

    def near(self, places: Floats, _: np.random.Generator) -> Floats:
        """The places themselves."""
        return places

    def decode(self, place: Floats) -> Any:
        """The value of a place."""
        return self.levels[int(place.argmax())]


_Axis = _Number | _Choice


def _axes(runs: Sequence[Run]) -> tuple[list[_Axis], dict[str, Any], list[str]]:
    """The parameters that vary, in order; those that do not, and those that cannot be used."""
    axes: list[_Axis] = []
    same: dict[str, Any] = {}
    left_out: list[str] = []
    for name in dict.fromkeys(name for run in runs for name in run.parameters):
        values = [run.parameters.get(name) for run in runs]
        known = [value for value in values if value is not None]
        different = {json_text(value) for value in known}
        if not known:
            continue
        if len(known) < _KNOWN * len(runs) or any(isinstance(value, list | dict) for value in known):
            left_out.append(name)
        elif len(different) == 1:
            same[name] = known[0]
        elif len(axes) == MAX_AXES:
            left_out.append(name)
        elif all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
            axes.append(_Number(name, values))
        elif len(different) <= MAX_CHOICES and len({type(value) for value in known}) == 1:
            axes.append(_Choice(name, values))
        else:
            left_out.append(name)
    return axes, same, left_out


def _split(place: Floats, axes: Sequence[_Axis]) -> list[Floats]:
    widths = np.cumsum([axis.encoded.shape[1] for axis in axes])
    return np.split(place, widths[:-1])


# The model


class _Model:
    """The metric over the places, as a Gaussian process, the less the better."""

    def __init__(self, places: Floats, metrics: Floats, goal: Goal) -> None:
        from sklearn.gaussian_process import GaussianProcessRegressor  # noqa: PLC0415 - an extra, and it takes a second
        from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel  # noqa: PLC0415

        self.sign = 1 if goal is Goal.MINIMIZE else -1
        worse, quartiles = self.sign * metrics, np.quantile(self.sign * metrics, [0.25, 0.75])
        # Of a run that diverged it is enough to know that it was bad.
        bounded = np.minimum(worse, quartiles[1] + _OUTLIERS * (quartiles[1] - quartiles[0]))
        if not np.ptp(bounded):
            bounded = worse
        self.middle, self.unit = float(bounded.mean()), float(bounded.std()) or 1.0
        wide = (1e-4, 1e4)
        scales = np.ones(places.shape[1])
        kernel = ConstantKernel(1.0, wide) * Matern(scales, wide, nu=2.5) + WhiteKernel(1.0, wide)
        self.process = GaussianProcessRegressor(kernel, optimizer=_fit)
        self.process.fit(places, (bounded - self.middle) / self.unit)
        self.noise = float(np.exp(self.process.kernel_.theta[-1]))

    def mean(self, places: Floats) -> Floats:
        """What is expected, in the model's own unit."""
        found: Floats = self.process.predict(places)
        return found

    def at_worst(self, places: Floats) -> Floats:
        """What is expected, and one standard deviation more: where no run has been this is much."""
        mean, deviation = self.process.predict(places, return_std=True)
        found: Floats = mean + np.sqrt(np.maximum(deviation**2 - self.noise, 0))
        return found

    def explained(self) -> float:
        """How much less it is wrong about each run, when it has only seen the others, than their mean is; 0 to 1."""
        from scipy.linalg import cho_solve  # noqa: PLC0415 - comes with scikit-learn

        count = len(self.process.y_train_)
        inverse = cho_solve((self.process.L_, True), np.eye(count))
        wrong = self.process.alpha_ / np.diag(inverse)
        different = float(((self.process.y_train_ * count / (count - 1)) ** 2).sum())
        return round(max(0.0, 1 - float((wrong**2).sum()) / different), 2) if different else 0.0

    def expected(self, places: Floats) -> Floats:
        """What is expected of the metric."""
        return self.sign * (self.mean(places) * self.unit + self.middle)


def _fit(loss: Callable[..., Any], theta: Floats, bounds: Floats) -> tuple[Floats, float]:
    """The likeliest logarithms of the kernel's parameters, if all of these are guessed to be near 1: as much noise as
    effect.

    Likelihood alone would find effects in the noise of few runs.
    """
    from scipy.optimize import minimize  # noqa: PLC0415 - comes with scikit-learn

    def posterior(at: Floats) -> tuple[float, Floats]:
        value, gradient = loss(at, eval_gradient=True)
        return value + 0.5 * float((at**2).sum()), gradient + at

    starts = (np.zeros_like(theta), np.concatenate([[0.0], np.full(len(theta) - 1, 1.5)]))
    found = [
        minimize(posterior, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 50})
        for start in starts
    ]
    best = min(found, key=lambda one: float(one.fun))
    return best.x, float(best.fun)


def _best_place(model: _Model, axes: Sequence[_Axis], chance: np.random.Generator) -> Floats:
    drawn = np.hstack([axis.draw(_DRAWN, chance) for axis in axes])
    order = np.argsort(model.at_worst(drawn), kind="stable")
    good = np.repeat(drawn[order[:20]], _NEARBY // 20, axis=0)
    widths = np.cumsum([axis.encoded.shape[1] for axis in axes])
    parts = np.split(good, widths[:-1], axis=1)
    nearby = np.hstack([axis.near(part, chance) for axis, part in zip(axes, parts, strict=True)])
    places = np.vstack([drawn[order[:1]], nearby])
    best: Floats = places[int(model.at_worst(places).argmin())]
    return best


def _importance(model: _Model, axes: Sequence[_Axis], chance: np.random.Generator) -> list[float]:
    """Each axis's share of the effects on the expected metric (total Sobol indices, by Jansen's estimator)."""
    parts = [axis.draw(_SPREAD, chance) for axis in axes]
    base = model.mean(np.hstack(parts))
    effects = []
    for at, axis in enumerate(axes):
        changed = [*parts[:at], axis.draw(_SPREAD, chance), *parts[at + 1 :]]
        effects.append(float(((base - model.mean(np.hstack(changed))) ** 2).mean()))
    total = sum(effects)
    return [round(effect / total, 4) if total > 0 else 0.0 for effect in effects]
