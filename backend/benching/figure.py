"""One figure with its interval, its baselines and what is asked of it: the form of every benchmark of Kvasir."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np

_SEED = 7


@dataclass(frozen=True, slots=True)
class Asked:
    """What a figure must reach: `at_least`, `at_most`, or both. Its whole interval must lie above `clear_of`, and not
    all of it below `up_to`."""

    at_least: float | None = None
    at_most: float | None = None
    clear_of: float | None = None
    up_to: float | None = None

    def holds(self, value: float, interval: tuple[float, float] | None = None) -> bool:
        if self.clear_of is not None and (interval is None or interval[0] <= self.clear_of):
            return False
        if self.up_to is not None and (interval is None or interval[1] < self.up_to):
            return False
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    def text(self, number: Callable[[float], str]) -> str:
        """Such as `≥ 0.9`."""
        signs = {"at_least": "≥", "at_most": "≤", "clear_of": "interval >", "up_to": "interval up to"}
        return ", ".join(f"{signs[name]} {number(bound)}" for name, bound in self.to_dict().items())

    def to_dict(self) -> dict[str, float]:
        names = ("at_least", "at_most", "clear_of", "up_to")
        bounds = {name: getattr(self, name) for name in names}
        return {name: bound for name, bound in bounds.items() if bound is not None}


@dataclass(frozen=True, slots=True)
class Figure:
    """`interval` is the 95 % interval of `value`, in its unit; `baseline` maps other methods, measured in the same
    run, to their value. `n` counts what was measured. A value that could not be had is `None`, never 0.
    """

    name: str
    value: float | None
    unit: str
    n: int
    interval: tuple[float, float] | None = None
    baseline: Mapping[str, float] = field(default_factory=dict)
    asked: Asked | None = None

    @property
    def ok(self) -> bool | None:
        """`None` where nothing was asked. What was asked and could not be measured is not ok."""
        if self.asked is None:
            return None
        return self.value is not None and self.asked.holds(self.value, self.interval)

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "asked": self.asked.to_dict() if self.asked else None,
            "ok": self.ok,
            "n": self.n,
            "interval": list(self.interval) if self.interval else None,
            "baseline": dict(self.baseline) or None,
        }


@dataclass(frozen=True, slots=True)
class Skipped:
    """What was not measured, and why."""

    what: str
    reason: str


def median_figure(
    name: str,
    values: Sequence[float],
    unit: str,
    *,
    baseline: Mapping[str, float] | None = None,
    asked: Asked | None = None,
) -> Figure:
    """The median of independent `values`, of which there is at least one."""
    return Figure(name, median(values), unit, len(values), median_interval(values), baseline or {}, asked)


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % bootstrap interval of the median; `None` of fewer than three values. Same values, same interval."""
    from scipy.stats import bootstrap

    if len(values) < 3:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that are all equal
        found = bootstrap((np.asarray(values),), np.median, method="percentile", rng=_SEED).confidence_interval
    return float(found.low), float(found.high)
