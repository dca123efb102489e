"""What was asked for before: a bounded memory of chunks, most of which are no longer (or never were) kept.

A "ghost" list in the sense of ARC: it holds names, not KV. From it comes whether a prompt recurs, and how likely a
chunk seen k times is to be seen once more. For that, a chunk counts as lost once it was silent for several times the
usual gap: one that was seen a moment ago has not had its chance yet.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

ChunkId = bytes
"""A chunk's rolling hash with the tenant's salt: two tenants' equal texts are two chunks."""

_LEVELS = 5
_GAPS_UNTIL_LOST = 4.0
_WEIGHT_OF_ONE_GAP = 0.05


def chunk_id(chunk_hash: bytes, cache_salt: str) -> ChunkId:
    return len(chunk_hash).to_bytes(1, "big") + chunk_hash + cache_salt.encode()


def split_chunk_id(chunk: ChunkId) -> tuple[bytes, str]:
    """The hash and the salt that `chunk_id` was given."""
    end = 1 + chunk[0]
    return chunk[1:end], chunk[end:].decode()


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
        # Both in the order of the last sighting; `_open` holds those that are not given up yet.
        self._seen: OrderedDict[ChunkId, Sighting] = OrderedDict()
        self._open: OrderedDict[ChunkId, None] = OrderedDict()
        self._returned = [0] * _LEVELS
        self._lost = [0] * _LEVELS
        self._gap_seconds: float | None = None

    def __len__(self) -> int:
        return len(self._seen)

    def note_lookup(self, ids: Sequence[ChunkId], now: float) -> None:
        """One request looked up a prompt whose chunks are `ids`, in order. `now` never decreases."""
        self._give_up(now)
        gaps: list[float] = []
        # From the end, so that of one prompt the tail is forgotten before the head that it needs.
        for index in range(len(ids) - 1, -1, -1):
            known = self._seen.pop(ids[index], None)
            if known is not None:
                gaps.append(now - known.last_seen)
                self._returned[_level(known.times)] += 1
                if ids[index] not in self._open:
                    self._lost[_level(known.times)] -= 1
            times = known.times + 1 if known else 1
            chunks = max(known.chunks, len(ids)) if known else len(ids)
            self._seen[ids[index]] = Sighting(times, index, chunks, now)
            self._open[ids[index]] = None
            self._open.move_to_end(ids[index])
        if gaps:
            self._learn_gap(sum(gaps) / len(gaps))
        while len(self._seen) > self._capacity:
            chunk, oldest = self._seen.popitem(last=False)
            self._lose(chunk, oldest)

    def get(self, chunk: ChunkId) -> Sighting | None:
        return self._seen.get(chunk)

    def forget(self, ids: Iterable[ChunkId]) -> None:
        """As if they had never been asked for: what is known of them says nothing about others."""
        for chunk in ids:
            self._seen.pop(chunk, None)
            self._open.pop(chunk, None)

    @property
    def lost_after_seconds(self) -> float | None:
        """The silence after which a chunk counts as lost; `None` before any came again."""
        return None if self._gap_seconds is None else _GAPS_UNTIL_LOST * self._gap_seconds

    @property
    def usual_gap_seconds(self) -> float | None:
        """Between two sightings of a chunk; `None` before any came again."""
        return self._gap_seconds

    def expected_reuses(self, times: int) -> float:
        """How often a chunk that was seen `times` times will be seen again, from how it went with others.

        With chance p of one more sighting, and the same again after it, p / (1 - p). Before anything is known, 1.
        """
        chance = self.chance_of_another(times)
        return chance / (1 - chance)

    def chance_of_another(self, times: int) -> float:
        """The share of the chunks seen `times` times that came once more: below 1, and 1/2 before any is known."""
        level = _level(times)
        return (self._returned[level] + 1) / (self._returned[level] + self._lost[level] + 2)

    def chance_of_return(self, times: int) -> float:
        """The same, and never less for a chunk that was seen more often: such as the beginning of a prompt beside its
        end, which is of no use without.
        """
        return max(self.chance_of_another(level) for level in range(1, _level(times) + 2))

    def _learn_gap(self, gap: float) -> None:
        if self._gap_seconds is None:
            self._gap_seconds = gap
        else:
            self._gap_seconds += _WEIGHT_OF_ONE_GAP * (gap - self._gap_seconds)

    def _give_up(self, now: float) -> None:
        limit = self.lost_after_seconds
        if limit is None:
            return
        while self._open:
            chunk = next(iter(self._open))
            sighting = self._seen[chunk]
            if now - sighting.last_seen <= limit:
                return
            self._lose(chunk, sighting)

    def _lose(self, chunk: ChunkId, sighting: Sighting) -> None:
        if chunk in self._open:
            del self._open[chunk]
            self._lost[_level(sighting.times)] += 1


def _level(times: int) -> int:
    return min(max(times, 1), _LEVELS) - 1
