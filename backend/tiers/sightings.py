"""What was asked for before: a bounded memory of chunks, most of which are no longer (or never were) kept.

A "ghost" list in the sense of ARC: it holds names, not KV. From it comes whether a prompt recurs, and how likely a
chunk seen k times is to be seen once more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

ChunkId = bytes
"""A chunk's rolling hash with the tenant's salt: two tenants' equal texts are two chunks."""

_LEVELS = 5


def chunk_id(chunk_hash: bytes, cache_salt: str) -> ChunkId:
    return chunk_hash + cache_salt.encode()


@dataclass(frozen=True)
class Sighting:
    """How often a chunk was looked up; it is the `index`-th chunk (from 0) of prompts of up to `chunks` chunks."""

    times: int
    index: int
    chunks: int
    last_seen: float


class Sightings:
    """The last `capacity` chunks that were looked up. Not thread-safe: its owner locks."""

    def __init__(self, capacity: int = 200_000) -> None:
        self._capacity = capacity
        self._seen: OrderedDict[ChunkId, Sighting] = OrderedDict()
        # Of the chunks seen k + 1 times, how many there were.
        self._reached = [0] * _LEVELS

    def __len__(self) -> int:
        return len(self._seen)

    def note_lookup(self, ids: Sequence[ChunkId], now: float) -> None:
        """One request looked up a prompt whose chunks are `ids`, in order."""
        # From the end, so that of one prompt the tail is forgotten before the head that it needs.
        for index in range(len(ids) - 1, -1, -1):
            known = self._seen.pop(ids[index], None)
            times = known.times + 1 if known else 1
            chunks = max(known.chunks, len(ids)) if known else len(ids)
            self._seen[ids[index]] = Sighting(times, index, chunks, now)
            if times <= _LEVELS:
                self._reached[times - 1] += 1
        while len(self._seen) > self._capacity:
            self._seen.popitem(last=False)

    def get(self, chunk: ChunkId) -> Sighting | None:
        return self._seen.get(chunk)

    def forget(self, ids: Iterable[ChunkId]) -> None:
        for chunk in ids:
            self._seen.pop(chunk, None)

    def expected_reuses(self, times: int) -> float:
        """How often a chunk that was seen `times` times will be seen again, from how it went with others.

        With chance p of one more sighting, and the same again after it, p / (1 - p). Before anything is known, 1.
        """
        chance = self.chance_of_another(times)
        return chance / (1 - chance)

    def chance_of_another(self, times: int) -> float:
        """The share of the chunks seen `times` times that were seen once more: below 1, and 1/2 before any was seen."""
        level = min(max(times, 1), _LEVELS - 1)
        return (self._reached[level] + 1) / (self._reached[level - 1] + 2)
