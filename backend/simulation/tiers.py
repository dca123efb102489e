"""Tiers in a row, the fastest first: RAM, then disk.

Each keeps what its own policy says of what comes by, as LMCache's tiers do; the offline optimum alone puts nothing
into two. A prompt's prefix is taken from the fastest tier that goes on with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from backend.simulation.errors import SimulationOptionInvalid

GIGABYTES_PER_SECOND = {"ram": 20.0, "disk": 2.0}
_SPEC = re.compile(r"(?P<name>[a-z][a-z0-9_-]*):(?P<size>[0-9.]+)(?P<unit>GB)?(?::(?P<speed>[0-9.]+))?")


@dataclass(frozen=True)
class TierSpec:
    name: str
    capacity_blocks: int
    bytes_per_second: float


def parse_tier(text: str, block_bytes: int) -> TierSpec:
    """`ram:3000`, `disk:100000:2.5` or `disk:500GB:2.5`: name, size in blocks or 10^9 bytes, and 10^9 bytes per second.

    Raises `SimulationOptionInvalid`.
    """
    match = _SPEC.fullmatch(text)
    if match is None:
        raise SimulationOptionInvalid(
            "--tier", f"'{text}' is no tier; write NAME:BLOCKS or NAME:SIZEGB, and :GB_PER_SECOND if you like"
        )
    name = match["name"]
    size = _number(text, match["size"])
    capacity = int(size * 1e9 / block_bytes) if match["unit"] else int(size)
    if capacity < 1 or (not match["unit"] and capacity != size):
        raise SimulationOptionInvalid(
            "--tier",
            f"the size of '{text}' is {size:g} blocks; it should be a whole number, at least 1"
            if not match["unit"]
            else f"'{text}' is smaller than a block of {block_bytes:,} bytes",
        )
    if match["speed"] is None and name not in GIGABYTES_PER_SECOND:
        raise SimulationOptionInvalid(
            "--tier", f"'{text}' says no speed; only ram and disk have one by default: write {text}:2.5"
        )
    speed = _number(text, match["speed"]) if match["speed"] else GIGABYTES_PER_SECOND[name]
    if speed <= 0:
        raise SimulationOptionInvalid("--tier", f"the speed of '{text}' should be above 0 GB per second")
    return TierSpec(name, capacity, speed * 1e9)


def _number(text: str, digits: str) -> float:
    try:
        return float(digits)
    except ValueError as exc:
        raise SimulationOptionInvalid("--tier", f"'{digits}' in '{text}' is no number") from exc


class Stretch(NamedTuple):
    """Blocks `start` to `end` of a prompt lie in tier number `tier`."""

    tier: int
    start: int
    end: int


def cached_prefix(until: list[Callable[[int], int]]) -> list[Stretch]:
    """The contiguous prefix that tiers have together; `until[t](start)` is `Policy.cached_until` of tier `t`."""
    stretches: list[Stretch] = []
    position, last = 0, -1
    while True:
        for tier, cached_until in enumerate(until):
            if tier == last:  # its stretch ended here
                continue
            end = cached_until(position)
            if end > position:
                stretches.append(Stretch(tier, position, end))
                position, last = end, tier
                break
        else:
            return stretches
