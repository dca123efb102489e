"""How much slower or faster a tier is now than when it was profiled, from the transfers seen lately.

A tier that looks slow is not used, so nothing new is learned about it. Therefore what was learned fades: after each
`forget_seconds` half of the correction is gone, and in the end the tier is tried again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_WEIGHT_OF_ONE = 0.5


@dataclass(frozen=True)
class LiveTier:
    """A tier at this moment. `queued_tokens` are those of loads that were begun and have not ended."""

    slowdown: float = 1.0
    queued_tokens: float = 0.0


class LiveSpeed:
    """The correction of one tier. Not thread-safe: its owner locks."""

    def __init__(self, forget_seconds: float = 120.0) -> None:
        self._forget_seconds = forget_seconds
        self._log_ratio = 0.0
        self._at: float | None = None

    def observe(self, expected_seconds: float, seconds: float, now: float) -> None:
        """A transfer took `seconds` where the profile expects `expected_seconds`. `now` is any clock's seconds."""
        if expected_seconds <= 0 or seconds <= 0:
            return
        ratio = math.log(seconds / expected_seconds)
        # The first observation counts in full: with the profile as its only rival, it is the better witness.
        weight = 1.0 if self._at is None else _WEIGHT_OF_ONE
        self._log_ratio = (1 - weight) * self._faded(now) + weight * ratio
        self._at = now

    def slowdown(self, now: float) -> float:
        """What the profile's seconds must be multiplied with; 1 where nothing was seen."""
        return math.exp(self._faded(now))

    def _faded(self, now: float) -> float:
        if self._at is None:
            return 0.0
        age = max(0.0, now - self._at)
        return float(self._log_ratio * 0.5 ** (age / self._forget_seconds))
