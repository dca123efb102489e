"""Room and budget of the tiers that are written to: caps, the day's bytes, and how fast each tier fills.

Not thread-safe: its owner locks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from backend.tiers.disk_cap import DiskCap
from backend.tiers.placement import FillClock
from backend.tiers.profile import RAM
from backend.tiers.settings import PolicySettings, TierSettings
from backend.tiers.sightings import ChunkId
from backend.tiers.write_budget import WriteBudget


@dataclass(frozen=True)
class StoreItem:
    """One object that LMCache has just put into RAM: a chunk, or one rank's part of it. `name` is its file's name."""

    chunk: ChunkId
    name: str
    size_bytes: int


@dataclass(frozen=True)
class HeldItem:
    """One object in RAM. `silent_seconds` are those since it was written or asked for."""

    chunk: ChunkId
    name: str
    silent_seconds: float


@dataclass(frozen=True)
class Room:
    """Which of the items asked for may be written, after `victims` (file names) were deleted."""

    names: frozenset[str]
    victims: tuple[str, ...]
    unaffordable: int


class Writes:
    """Reads the tiers' folders when made. `now` is seconds since the epoch throughout."""

    def __init__(self, settings: PolicySettings) -> None:
        self._budget = WriteBudget(settings.write_bytes_per_day, settings.state_dir / "writes.json")
        self._caps = {
            tier.name: DiskCap(tier.folder, tier.cap_bytes)
            for tier in settings.tiers
            if tier.folder is not None and tier.cap_bytes is not None
        }
        self._fills = {tier.name: FillClock(tier.cap_bytes) for tier in settings.tiers if tier.cap_bytes}

    def price(self, tier: TierSettings, now: float) -> float:
        """How much a byte written to `tier` must be worth. Only the local disk wears out at our cost."""
        return self._budget.price(now) if tier.role == "disk" else 1.0

    def has(self, tier: str, name: str) -> bool:
        cap = self._caps.get(tier)
        return cap is not None and name in cap

    def reserve(self, tier: str, items: Sequence[StoreItem], now: float) -> Room:
        """Room on `tier` for `items`, the most important first; takes it from the cap and from the day's budget."""
        cap = self._caps.get(tier)
        if cap is None:
            return Room(frozenset(item.name for item in items), (), 0)
        left = self._budget.left_bytes(now)
        affordable: list[StoreItem] = []
        for item in items:
            size = 0 if item.name in cap else item.size_bytes
            if size <= left:
                left -= size
                affordable.append(item)
        new = {item.name: item.size_bytes for item in affordable if item.name not in cap}
        admission = cap.admit([(item.name, item.size_bytes) for item in affordable])
        names = frozenset(admission.admitted)
        self._budget.spend(sum(size for name, size in new.items() if name in names), now)
        return Room(names, admission.victims, len(items) - len(affordable))

    def written(self, tier: str, name: str, size_bytes: int, now: float) -> None:
        if fill := self._fills.get(tier):
            fill.add(size_bytes, now)
        if (cap := self._caps.get(tier)) is not None and not cap.written(name, size_bytes):
            self._budget.spend(size_bytes, now)  # given up as lost, and its bytes given back, before it came

    def touched(self, tier: str, names: Sequence[str]) -> None:
        if (cap := self._caps.get(tier)) is not None:
            cap.touch(names)

    def deleted(self, tier: str, name: str) -> None:
        if (cap := self._caps.get(tier)) is not None:
            cap.forget(name)

    def ram_written(self, size_bytes: int, now: float) -> None:
        if fill := self._fills.get(RAM):
            fill.add(size_bytes, now)

    def set_ram_bytes(self, capacity: int) -> None:
        """How much LMCache's memory holds, which may grow. Until this is known, RAM was never full."""
        if capacity > 0:
            self._fills.setdefault(RAM, FillClock(capacity)).capacity_bytes = capacity

    def fill_seconds(self, tier: str | None, now: float) -> float:
        fill = self._fills.get(tier) if tier else None
        return fill.fill_seconds(now) if fill else float("inf")

    def over_cap(self) -> dict[str, tuple[str, ...]]:
        return {tier: names for tier, cap in self._caps.items() if (names := cap.over())}

    def tidy(self, now: float) -> None:
        for cap in self._caps.values():
            self._budget.spend(-cap.rescan(), now)
        self._budget.save(now)

    def status(self, now: float) -> dict[str, Any]:
        return {
            "disk": {
                tier: {"bytes": cap.total_bytes, "cap_bytes": cap.cap_bytes, "files": len(cap)}
                for tier, cap in self._caps.items()
            },
            "write_budget": {"bytes_per_day": self._budget.bytes_per_day, "used_bytes": self._budget.used_bytes(now)},
        }
