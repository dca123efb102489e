"""The uncertainty of a pass rate: Wilson's score interval (1927), which holds up at few cases and near 0 and 1."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

_Z_95 = 1.959964


@dataclass(frozen=True, slots=True)
class PassRate:
    """`rate` with its 95 % interval, as shares of 1."""

    passed: int
    total: int
    rate: float
    low: float
    high: float


def pass_rate(passed: int, total: int) -> PassRate | None:
    """`None` where nothing was counted: no rate is not a rate of 0."""
    if total == 0:
        return None
    rate, z = passed / total, _Z_95
    middle = (rate + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * sqrt(rate * (1 - rate) / total + z * z / (4 * total * total))
    return PassRate(passed, total, rate, max(0.0, middle - half), min(1.0, middle + half))
