"""The dense index: one FAISS index holds every embedded text once, and a commit is a filter over it.

Exact search by inner product of unit vectors, so a score is a cosine. The only file that imports faiss.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import faiss
import numpy as np
from numpy.typing import NDArray

from kb.store import Vector


class DenseIndex:
    def __init__(self, dimension: int) -> None:
        self._index = faiss.IndexFlatIP(dimension)
        self._rows: dict[str, int] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, vectors: Mapping[str, Vector]) -> None:
        """Add texts by hash; those that are there already are left as they are."""
        with self._lock:
            fresh = [key for key in vectors if key not in self._rows]
            if not fresh:
                return
            start = len(self._rows)
            self._index.add(np.stack([vectors[key] for key in fresh]))
            self._rows.update({key: start + offset for offset, key in enumerate(fresh)})

    def rows(self, text_hashes: Sequence[str]) -> NDArray[np.int64]:
        """The rows of these texts, which must have been added: the filter that a commit is."""
        return np.array([self._rows[key] for key in text_hashes], dtype=np.int64)

    def scores(self, query: Vector, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Cosine of the query with each of `rows`, in their order; float32 of shape (len(rows),)."""
        if not len(rows):
            return np.zeros(0, dtype=np.float32)
        wanted, inverse = np.unique(rows, return_inverse=True)
        with self._lock:
            selector = faiss.IDSelectorBatch(wanted)
            parameters = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
            scores, found = self._index.search(query[None, :], len(wanted), params=parameters)
        by_row = np.zeros(len(wanted), dtype=np.float32)
        by_row[np.searchsorted(wanted, found[0])] = scores[0]
        return by_row[inverse]
