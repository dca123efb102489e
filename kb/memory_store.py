"""A store in this process's memory: for tests and notebooks. See the contract in `store.py`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from kb.errors import AlreadyExists, BaseNotFound, ObjectCorrupt, RefMoved
from kb.store import FIND_MAX, BaseId, Delete, RefMove, StoredObject, Vector


@dataclass(slots=True)
class _Base:
    objects: dict[str, bytes] = field(default_factory=dict)
    written_at: dict[str, float] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)


class MemoryStore:
    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        # Re-entrant: whoever holds off the writers goes on reading.
        self._lock = threading.RLock()
        self._bases: dict[BaseId, _Base] = {}
        self._vectors: dict[tuple[str, str], Vector] = {}

    def create_base(self, base: BaseId) -> None:
        with self._lock:
            if base in self._bases:
                raise AlreadyExists("knowledge base", base.name)
            self._bases[base] = _Base()

    def bases(self, tenant: str) -> list[str]:
        with self._lock:
            return sorted(base.name for base in self._bases if base.tenant == tenant)

    def write(
        self,
        base: BaseId,
        objects: Mapping[str, bytes],
        moves: Sequence[RefMove] = (),
        *,
        present: Collection[str] = (),
    ) -> None:
        with self._lock:
            kept = self._base(base)
            for object_id in present:
                if object_id not in kept.objects:
                    raise ObjectCorrupt(base.name, object_id, "is missing")
            for move in moves:
                found = kept.refs.get(move.ref)
                if found != move.expected:
                    raise RefMoved(base.name, move.ref, move.expected, found)
            for object_id, data in objects.items():
                kept.objects.setdefault(object_id, data)
                kept.written_at.setdefault(object_id, self._now())
            for move in moves:
                if move.new is None:
                    kept.refs.pop(move.ref, None)
                else:
                    kept.refs[move.ref] = move.new

    def read(self, base: BaseId, object_ids: Collection[str]) -> dict[str, bytes]:
        with self._lock:
            objects = self._base(base).objects
            return {object_id: objects[object_id] for object_id in object_ids if object_id in objects}

    def find(self, base: BaseId, prefix: str) -> list[str]:
        with self._lock:
            return sorted(found for found in self._base(base).objects if found.startswith(prefix))[:FIND_MAX]

    def objects(self, base: BaseId, *, written_after: float | None = None) -> Iterator[StoredObject]:
        with self._lock:
            kept = self._base(base)
            listed = [StoredObject(key, len(data), kept.written_at[key]) for key, data in kept.objects.items()]
        return iter([each for each in listed if written_after is None or each.written_at > written_after])

    @contextmanager
    def writers_held(self, base: BaseId) -> Iterator[Delete]:
        with self._lock:
            kept = self._base(base)
            doomed: set[str] = set()
            yield doomed.update
            for object_id in doomed:
                kept.objects.pop(object_id, None)
                kept.written_at.pop(object_id, None)

    def refs(self, base: BaseId) -> dict[str, str]:
        with self._lock:
            return dict(self._base(base).refs)

    def vectors(self, model: str, text_hashes: Collection[str]) -> dict[str, Vector]:
        with self._lock:
            found = {text: self._vectors.get((model, text)) for text in text_hashes}
            return {text: vector.copy() for text, vector in found.items() if vector is not None}

    def put_vectors(self, model: str, vectors: Mapping[str, Vector]) -> None:
        with self._lock:
            for text, vector in vectors.items():
                self._vectors.setdefault((model, text), vector.copy())

    def _base(self, base: BaseId) -> _Base:
        if base not in self._bases:
            raise BaseNotFound(base.name)
        return self._bases[base]
