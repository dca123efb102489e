"""The store contract: what keeps objects, refs and vectors. `memory_store` and `sql_store` implement it.

Thread safety: every method may be called from any thread; `write` is atomic: all of it is kept or none.
Ownership: a store keeps and returns its own copies. Objects are never changed, and deleted only by `gc`, which holds
off the writers of the base for as long as it deletes.
One contract suite, `tests/kb/test_store_contract.py`, runs on every implementation.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]

FIND_MAX = 10
"""How many ids `Store.find` gives at most."""


@dataclass(frozen=True, slots=True)
class BaseId:
    """A knowledge base: its tenant and its name there. No call crosses from one tenant to another."""

    tenant: str
    name: str

    def __str__(self) -> str:
        return f"{self.tenant}/{self.name}"


@dataclass(frozen=True, slots=True)
class RefMove:
    """Move `ref` from `expected` to `new`; `None` is absent. Branches are `heads/NAME`, tags `tags/NAME`."""

    ref: str
    expected: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class StoredObject:
    """`size` is in bytes; `written_at` in seconds since 1970, when the object was first written."""

    id: str
    size: int
    written_at: float


Delete = Callable[[Collection[str]], None]
"""Deletes objects of one base."""


class Store(Protocol):
    def create_base(self, base: BaseId) -> None:
        """Make an empty base. Raises `AlreadyExists`."""

    def bases(self, tenant: str) -> list[str]:
        """Names of the tenant's bases, sorted."""

    def write(
        self,
        base: BaseId,
        objects: Mapping[str, bytes],
        moves: Sequence[RefMove] = (),
        *,
        present: Collection[str] = (),
    ) -> None:
        """Add objects (those that exist already are left as they are) and move refs, in one transaction.

        Raises `RefMoved` where a ref is not at its `expected`, `BaseNotFound` for an unknown base, `ObjectCorrupt`
        where an object that must be `present` is not there (any more).
        """

    def read(self, base: BaseId, object_ids: Collection[str]) -> dict[str, bytes]:
        """Object id → bytes; ids that are not there are left out."""

    def find(self, base: BaseId, prefix: str) -> list[str]:
        """Ids of objects that start with `prefix`, sorted, the first `FIND_MAX`."""

    def objects(self, base: BaseId, *, written_after: float | None = None) -> Iterator[StoredObject]:
        """The base's objects, or those written after a time, in no order. Their bytes are not read."""

    def writers_held(self, base: BaseId) -> AbstractContextManager[Delete]:
        """While it is open no `write` to the base ends; what was deleted is gone when it closes without an error."""

    def refs(self, base: BaseId) -> dict[str, str]:
        """Ref → commit id. Raises `BaseNotFound`."""

    def vectors(self, model: str, text_hashes: Collection[str]) -> dict[str, Vector]:
        """Text hash → embedding, float32 of shape (dimension,); texts never embedded are left out."""

    def put_vectors(self, model: str, vectors: Mapping[str, Vector]) -> None:
        """Keep embeddings; those that exist already are left as they are."""
