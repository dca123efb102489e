"""The one `TierControl` of this process, and what the policies must ask of the server.

Module state, because LMCache makes policies by their class, without arguments, and finds server modules by name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lmcache.v1.distributed.api import MemoryLayoutDesc, ObjectKey

from backend.lmcache_server.object_files import layout_bytes
from backend.tiers.control import TierControl
from backend.tiers.observed import Observed
from backend.tiers.sightings import ChunkId


class EngineNotRegistered(Exception):
    """vLLM has not told LMCache about its model yet, so no key of an object can be formed."""


class ServerActions(Protocol):
    """What the running server does for the policies."""

    def ask_again(self, keys: Sequence[ObjectKey]) -> None:
        """Have the store policy asked about `keys`, which lie in RAM already. Returns at once."""

    def delete_files(self, tier: str, names: Sequence[str]) -> None:
        """Delete files of a tier. Returns when they are gone."""


class ObjectSizes:
    """Bytes of one object by model and object group, learned from lookups: the store policy is told keys alone."""

    def __init__(self) -> None:
        self._sizes: dict[tuple[str, int], int] = {}

    def learn(self, model: str, object_group: int, layout: MemoryLayoutDesc) -> None:
        self._sizes[model, object_group] = layout_bytes(layout)

    def of_chunk(self, model: str) -> int | None:
        """Bytes of all object groups of a chunk, for one rank; `None` before the first lookup."""
        return sum(size for (name, _), size in list(self._sizes.items()) if name == model) or None

    def of(self, key: ObjectKey) -> int | None:
        return self._sizes.get((key.model_name, key.object_group_id))


@dataclass
class Shared:
    """`actions` is there once LMCache has built its modules, which is before the first request."""

    control: TierControl
    observed: Observed
    sizes: ObjectSizes = field(default_factory=ObjectSizes)
    actions: ServerActions | None = None

    def looked_up(
        self, ids: Sequence[ChunkId], in_ram: Collection[int], keys_of: Callable[[int], list[ObjectKey]]
    ) -> None:
        """A request asked for `ids`; `in_ram` are the indices of those that lie in RAM, `keys_of` gives one's objects.

        What was not written when it was first seen, and is due now, is offered to the store gate again.
        """
        self.control.note_lookup(ids)
        due = [index for index in self.control.recurring(ids) if index in in_ram]
        if due and self.actions:
            self.actions.ask_again([key for index in due for key in keys_of(index)])

    def found(self, ids: Sequence[ChunkId], chunks: int) -> None:
        """Some tier had the first `chunks` of `ids`, loaded or not."""
        if self.control.store_gate:  # else somebody measures, and empties the tiers on purpose
            self.observed.looked_up(ids, chunks)


def leading(columns: Sequence[bool]) -> int:
    """How many are true before the first that is not."""
    return next((index for index, whole in enumerate(columns) if not whole), len(columns))


_shared: Shared | None = None


def share(control: TierControl) -> Shared:
    global _shared
    _shared = Shared(control, Observed(control.settings.chunk_tokens))
    return _shared


def shared() -> Shared:
    """Raises `RuntimeError` where LMCache was not started by `backend.lmcache_server`."""
    if _shared is None:
        raise RuntimeError("Kvasir's policies need Kvasir's start: run 'kvasir backend up'")
    return _shared
