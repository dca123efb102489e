"""When a session's KV leaves RAM, and when it leaves the disk.

The decision is Gray and Putzolu's five-minute rule ("The 5 Minute Rule for Trading Memory for Disc Accesses",
SIGMOD 1987) with seconds of prefill in the place of dollars. A session that was silent for t seconds returns in the
next one with a chance of about 1/t (what has lasted long lasts on). Keeping it is worth that chance times what its
return would save; the memory it holds is worth what new KV would save in it. They are equal at

    RAM:   t = fill_ram × (load_disk − load_ram) / (p × (recompute − load_ram))
    disk:  t = fill_disk / p

where `fill` is how long it takes new KV to fill the tier once, and p the share of chunks that are asked for again.
The prompt's length decides through the three costs. A tier that never filled costs nothing, and nothing leaves it.

Where RAM is short all the same, what is worth least in it goes, by the same chance and the same saving.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Literal

from backend.tiers.profile import RAM, Profile

SessionState = Literal["active", "idle", "gone"]

_SHORTEST_SECONDS = 1e-3


@dataclass(frozen=True)
class Thresholds:
    """Seconds since the last request after which a session is idle, and gone. `idle_seconds <= gone_seconds`."""

    idle_seconds: float
    gone_seconds: float


def thresholds(
    profile: Profile, tokens: int, disk: str | None, *, ram_fill: float, disk_fill: float, reused: float
) -> Thresholds:
    """For a session of `tokens` tokens. `disk` is the tier it may be demoted to; `reused` is p, between 0 and 1.

    Where no disk beats recomputing, it is never idle: it stays in RAM until its place there is worth more.
    """
    from_ram = profile.gain_seconds(RAM, tokens) if RAM in profile.tiers else profile.prefill.saved_seconds(tokens)
    from_disk = profile.gain_seconds(disk, tokens) if disk is not None and disk in profile.tiers else 0.0
    if from_ram <= 0:
        return Thresholds(0.0, 0.0)
    if from_disk <= 0:
        gone = ram_fill / reused
        return Thresholds(gone, gone)
    gone = disk_fill / reused
    return Thresholds(min(gone, ram_fill * max(0.0, from_ram - from_disk) / (reused * from_ram)), gone)


def worth_in_ram(
    profile: Profile | None,
    tokens: int,
    disk: str | None,
    *,
    chance: float,
    silent_seconds: float,
    usual_gap_seconds: float,
) -> float:
    """What RAM saves of a token in a second, of a prompt of `tokens` tokens that was silent for `silent_seconds`.

    `chance` is that of another request at all; until the usual gap has passed, it has not had its turn yet. `disk` is a
    tier that has it, too, and from which it would be loaded. Without a profile every return saves the same.
    """
    saved = 1.0
    if profile is not None and RAM in profile.tiers:
        from_disk = profile.gain_seconds(disk, tokens) if disk is not None and disk in profile.tiers else 0.0
        saved = (profile.gain_seconds(RAM, tokens) - max(0.0, from_disk)) / tokens
    return max(0.0, saved) * chance / max(silent_seconds, usual_gap_seconds, _SHORTEST_SECONDS)


def session_state(silent_seconds: float, limits: Thresholds) -> SessionState:
    if silent_seconds >= limits.gone_seconds:
        return "gone"
    return "idle" if silent_seconds >= limits.idle_seconds else "active"


class FillClock:
    """How long the last `capacity_bytes` of writes into a tier took. Not thread-safe: its owner locks."""

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self._written = 0
        self._marks: deque[tuple[float, int]] = deque()

    def add(self, count: int, now: float) -> None:
        self._marks.append((now, self._written))
        self._written += count
        while len(self._marks) > 1 and self._marks[1][1] <= self._written - self.capacity_bytes:
            self._marks.popleft()

    def fill_seconds(self, now: float) -> float:
        """Infinite until the tier was written full once."""
        if not self._marks or self._marks[0][1] > self._written - self.capacity_bytes:
            return math.inf
        return now - self._marks[0][0]
