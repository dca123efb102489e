"""One figure of a benchmark, with all it takes to judge it: how many, how sure, against what, and what was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evals.interval import pass_rate


@dataclass(frozen=True, slots=True)
class Asked:
    """What a figure must reach: `at_least`, `at_most`, or both. Its whole interval must lie above `clear_of`."""

    at_least: float | None = None
    at_most: float | None = None
    clear_of: float | None = None

    def holds(self, value: float, interval: tuple[float, float] | None = None) -> bool:
        if self.clear_of is not None and (interval is None or interval[0] <= self.clear_of):
            return False
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    def to_dict(self) -> dict[str, float]:
        bounds = {"at_least": self.at_least, "at_most": self.at_most, "clear_of": self.clear_of}
        return {name: bound for name, bound in bounds.items() if bound is not None}


@dataclass(frozen=True, slots=True)
class Row:
    """`interval` is the 95 % interval of `value`, in its unit; `baseline` maps other methods to their value.

    `n` counts what was measured. A value that could not be had is `None`, never 0.
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


def share_row(
    name: str, found: Sequence[bool], asked: Asked | None = None, baseline: Mapping[str, float] | None = None
) -> Row:
    """The share of `found` that is true, with Wilson's interval."""
    rate = pass_rate(sum(found), len(found))
    if rate is None:
        return Row(name, None, "share", 0, asked=asked)
    return Row(name, rate.rate, "share", rate.total, (rate.low, rate.high), baseline or {}, asked)
