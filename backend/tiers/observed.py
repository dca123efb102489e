"""What a cache server saw of its traffic, for `kvasir backend doctor`. It decides nothing.

Apart from `TierControl`, and with two locks of its own: comparing prompts takes longer than a policy may wait.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any

from backend.tiers.prefix_changes import PrefixChanges
from backend.tiers.profile import RAM
from backend.tiers.repeats import Repeats
from backend.tiers.sightings import ChunkId


class Observed:
    """Every method may be called from any thread."""

    def __init__(self, chunk_tokens: int) -> None:
        self._lock = threading.Lock()
        self._repeats = Repeats()
        self._left_ram: list[ChunkId] = []
        self._changes_lock = threading.Lock()
        self._changes = PrefixChanges(chunk_tokens)

    def looked_up(self, ids: Sequence[ChunkId], found: int) -> None:
        """A request asked for `ids`, in order, of which some tier had the first `found` without a gap."""
        with self._lock:
            self._repeats.looked_up(ids, found)

    def not_found(self, parent: bytes | None, offset: int, token_ids: Sequence[int]) -> None:
        """What a lookup did not find: a prompt from `offset` on, behind the chunk of hash `parent`."""
        with self._changes_lock:
            self._changes.note(parent, offset, token_ids)

    def left_ram(self, ids: Iterable[ChunkId]) -> None:
        """For whatever reason: LMCache tells of every deletion alike, and then whether it was evicting."""
        with self._lock:
            self._left_ram += ids

    def eviction_looked(self, *, evicted: bool) -> None:
        """LMCache's eviction looked at its memory, as it does each second: what left since its last look is its."""
        with self._lock:
            if evicted:
                self._repeats.evicted(RAM, self._left_ram)
            self._left_ram = []

    def left_disk(self, tier: str, ids: Iterable[ChunkId]) -> None:
        """Deleted to hold the tier's cap."""
        with self._lock:
            self._repeats.evicted(tier, ids)

    def status(self) -> dict[str, Any]:
        """Numbers and names of tiers only."""
        with self._lock:
            repeats = self._repeats.status()
        with self._changes_lock:
            return {"repeats": repeats, "prefix_changes": self._changes.status()}
