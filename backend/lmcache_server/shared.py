"""The one `TierControl` of this process, and what the policies must ask of the server.

Module state, because LMCache makes policies by their class, without arguments, and finds server modules by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lmcache.v1.distributed.api import GroupedObjectKeys, ObjectKey

from backend.lmcache_server.object_files import layout_bytes
from backend.tiers.control import TierControl
from backend.tiers.observed import Observed


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

    def learn(self, group: GroupedObjectKeys) -> None:
        self._sizes[group.keys[0].model_name, group.object_group_id] = layout_bytes(group.layout_desc)

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
