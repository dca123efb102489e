"""A store whose writes stay in memory, over one that is only read: what a change would make, without making it.

Bases, objects and refs are those below until something is written to a base; from then on its refs are those of that
moment. `gc` on it deletes nothing below. See the contract in `store.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import chain

from kb.errors import AlreadyExists, BaseNotFound, ObjectCorrupt
from kb.memory_store import MemoryStore
from kb.store import FIND_MAX, BaseId, Delete, RefMove, Store, StoredObject, Vector


class DryRunStore:
    def __init__(self, below: Store) -> None:
        self._below, self._above = below, MemoryStore()
        self._lock = threading.RLock()
        self._made: set[BaseId] = set()
        """Bases that are above alone."""

    def create_base(self, base: BaseId) -> None:
        with self._lock:
            if base.name in self._below.bases(base.tenant):
                raise AlreadyExists("knowledge base", base.name)
            self._above.create_base(base)
            self._made.add(base)

    def bases(self, tenant: str) -> list[str]:
        return sorted({*self._below.bases(tenant), *self._above.bases(tenant)})

    def write(
        self,
        base: BaseId,
        objects: Mapping[str, bytes],
        moves: Sequence[RefMove] = (),
        *,
        present: Collection[str] = (),
    ) -> None:
        with self._lock:
            self._raise_above(base)
            for missing in sorted(set(present) - self.read(base, present).keys()):
                raise ObjectCorrupt(base.name, missing, "is missing")
            self._above.write(base, objects, moves)

    def read(self, base: BaseId, object_ids: Collection[str]) -> dict[str, bytes]:
        found = self._above.read(base, object_ids) if self._is_above(base) else {}
        below = set(object_ids) - found.keys()
        return {**found, **self._below.read(base, below)} if base not in self._made else found

    def find(self, base: BaseId, prefix: str) -> list[str]:
        found = self._above.find(base, prefix) if self._is_above(base) else []
        below = self._below.find(base, prefix) if base not in self._made else []
        return sorted({*found, *below})[:FIND_MAX]

    def objects(self, base: BaseId, *, written_after: float | None = None) -> Iterator[StoredObject]:
        above = self._above.objects(base, written_after=written_after) if self._is_above(base) else iter(())
        below = self._below.objects(base, written_after=written_after) if base not in self._made else iter(())
        return iter({each.id: each for each in chain(above, below)}.values())

    def writers_held(self, base: BaseId) -> AbstractContextManager[Delete]:
        with self._lock:
            self._raise_above(base)
        return self._above.writers_held(base)

    def refs(self, base: BaseId) -> dict[str, str]:
        return self._above.refs(base) if self._is_above(base) else self._below.refs(base)

    def vectors(self, model: str, text_hashes: Collection[str]) -> dict[str, Vector]:
        found = self._above.vectors(model, text_hashes)
        return {**self._below.vectors(model, set(text_hashes) - found.keys()), **found}

    def put_vectors(self, model: str, vectors: Mapping[str, Vector]) -> None:
        self._above.put_vectors(model, vectors)

    def _is_above(self, base: BaseId) -> bool:
        return base.name in self._above.bases(base.tenant)

    def _raise_above(self, base: BaseId) -> None:
        """Have a base of this name above, with the refs that it has below."""
        if self._is_above(base):
            return
        if base.name not in self._below.bases(base.tenant):
            raise BaseNotFound(base.name)
        refs = self._below.refs(base)
        self._above.create_base(base)
        self._above.write(base, {}, [RefMove(ref, None, commit) for ref, commit in refs.items()])
