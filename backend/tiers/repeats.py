"""Chunks that are asked for again: whether they were found, and if not, what had become of them.

A lookup needs an unbroken prefix, so the first chunk that is missing decides for all that follow.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

from backend.tiers.sightings import ChunkId, split_chunk_id

_FEW_SALTS = 8
"""Of one hash, the last that asked. A salt for each session would else grow its entry with every session."""


class Repeats:
    """Remembers the last `capacity` chunks by name. Not thread-safe: its owner locks."""

    def __init__(self, capacity: int = 100_000) -> None:
        self._capacity = capacity
        # The last salts that each hash was asked for under, the latest at the end. The hash has no salt in it.
        self._salts: OrderedDict[bytes, tuple[str, ...]] = OrderedDict()
        self._evicted: OrderedDict[ChunkId, str] = OrderedDict()
        self._counts: Counter[str] = Counter()
        self._evictions: Counter[str] = Counter()
        self._returns: Counter[str] = Counter()

    def looked_up(self, ids: Sequence[ChunkId], found: int) -> None:
        """A request asked for `ids`, in order, of which some tier had the first `found` without a gap."""
        known = [self._knows(chunk) for chunk in ids]
        missing = range(found, len(ids))
        again = sum(known[index][0] for index in missing)
        self._counts["asked"] += len(ids)
        self._counts["asked_before"] += sum(own for own, _ in known)
        self._counts["found"] += found
        if again:
            if tier := self._evicted.get(ids[found]):
                self._returns[tier] += again
            else:
                self._counts["lost"] += again
        self._counts["other_salt"] += sum(known[index][1] for index in missing)
        for chunk in ids:
            self._remember(chunk)
        for chunk in ids[:found]:
            self._evicted.pop(chunk, None)

    def evicted(self, tier: str, ids: Iterable[ChunkId]) -> None:
        """These gave way to others in `tier`; another tier may still have them."""
        for chunk in ids:
            self._evictions[tier] += 1
            self._evicted[chunk] = tier
            self._evicted.move_to_end(chunk)
        while len(self._evicted) > self._capacity:
            self._evicted.popitem(last=False)

    def status(self) -> dict[str, Any]:
        """Chunks since the start. `returned` were evicted from the tier and then asked for; `lost` are missing though
        nothing evicted them; `other_salt` are new under their own salt only.
        """
        names = ("asked", "asked_before", "found", "lost", "other_salt")
        return {
            **{name: self._counts[name] for name in names},
            "evicted": dict(self._evictions),
            "returned": dict(self._returns),
        }

    def _knows(self, chunk: ChunkId) -> tuple[bool, bool]:
        """Whether it was asked for under its salt, and whether only under others."""
        name, salt = split_chunk_id(chunk)
        salts = self._salts.get(name, ())
        return salt in salts, bool(salts) and salt not in salts

    def _remember(self, chunk: ChunkId) -> None:
        name, salt = split_chunk_id(chunk)
        others = tuple(one for one in self._salts.pop(name, ()) if one != salt)
        self._salts[name] = (*others, salt)[-_FEW_SALTS:]
        while len(self._salts) > self._capacity:
            self._salts.popitem(last=False)
