"""How many bytes may still be written to a disk today.

Flash wears out by bytes written. The bound holds in every window of 24 hours, and over restarts, because the hours
are kept in a small file.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

_HOURS = 24
_HOUR_SECONDS = 3600.0


class WriteBudget:
    """`bytes_per_day` of writes; unbounded where it is `None`. Not thread-safe: its owner locks.

    `path` is where the hours are kept; `now` is seconds since the epoch throughout.
    """

    def __init__(self, bytes_per_day: int | None, path: Path | None = None) -> None:
        self.bytes_per_day = bytes_per_day
        self._path = path
        self._hours: dict[int, int] = _read(path) if path else {}

    def used_bytes(self, now: float) -> int:
        """Bytes of the last 24 hours. The hour that is partly outside counts in full."""
        self._drop_old(now)
        return max(0, sum(self._hours.values()))

    def left_bytes(self, now: float) -> float:
        return float("inf") if self.bytes_per_day is None else max(0, self.bytes_per_day - self.used_bytes(now))

    def price(self, now: float) -> float:
        """How much a written byte must be worth: 1 with an untouched budget, without bound as it runs out."""
        if self.bytes_per_day is None:
            return 1.0
        left = self.left_bytes(now)
        return self.bytes_per_day / left if left > 0 else float("inf")

    def spend(self, count: int, now: float) -> None:
        """A negative `count` gives back what was spent for a write that never came."""
        hour = int(now // _HOUR_SECONDS)
        self._hours[hour] = self._hours.get(hour, 0) + count

    def save(self, now: float) -> None:
        """Replace the file as a whole."""
        if self._path is None:
            return
        self._drop_old(now)
        temporary = self._path.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps({str(hour): count for hour, count in self._hours.items()}), encoding="utf-8")
        temporary.replace(self._path)

    def _drop_old(self, now: float) -> None:
        oldest = int(now // _HOUR_SECONDS) - _HOURS
        for hour in [hour for hour in self._hours if hour < oldest]:
            del self._hours[hour]


def _read(path: Path) -> dict[int, int]:
    """A file that is absent or broken is an empty history: at worst, one day's bound is spent twice."""
    try:
        return {int(hour): int(count) for hour, count in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
