"""A store in this process's memory: for tests and notebooks. See the contract in `store.py`."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from kb.errors import AlreadyExists, BaseNotFound, RefMoved
from kb.store import FIND_MAX, BaseId, RefMove, Vector


@dataclass(slots=True)
class _Base:
    objects: dict[str, bytes] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)


class MemoryStore:
    def __init__(self) -> None:
        self._lock = threading.Lock()
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

    def write(self, base: BaseId, objects: Mapping[str, bytes], moves: Sequence[RefMove] = ()) -> None:
        with self._lock:
            kept = self._base(base)
            for move in moves:
                found = kept.refs.get(move.ref)
                if found != move.expected:
                    raise RefMoved(base.name, move.ref, move.expected, found)
            for object_id, data in objects.items():
                kept.objects.setdefault(object_id, data)
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
