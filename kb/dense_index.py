"""The dense index: one FAISS index holds every embedded text once, and a commit is a filter over it.

Exact inner products of unit vectors, so a score is a cosine; a row's is the same to the bit wherever the row lies.
The only file that imports faiss.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import faiss
import numpy as np
from numpy.typing import NDArray

from kb.store import Vector

_ROWS_A_THREAD = 4096
"""Fewer are not worth another thread."""


class DenseIndex:
    def __init__(self, dimension: int) -> None:
        self._index = faiss.IndexFlatIP(dimension)
        self._rows: dict[str, int] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, text_hash: str) -> bool:
        return text_hash in self._rows

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
        """Cosine of the query with each of `rows`, in their order; float32 of shape (len(rows),).

        Takes time in proportion to `rows`, however many others the index holds.
        """
        if not len(rows):
            return np.zeros(0, dtype=np.float32)
        # FAISS spreads queries over threads, never the rows of one: so the query is asked once a thread, for a part.
        parts = max(1, min(faiss.omp_get_max_threads(), len(rows) // _ROWS_A_THREAD))
        width = -(-len(rows) // parts)
        wanted = np.full(parts * width, -1, dtype=np.int64)
        wanted[: len(rows)] = rows
        queries = np.repeat(np.asarray(query, dtype=np.float32)[None, :], parts, axis=0)
        scores = np.empty(parts * width, dtype=np.float32)
        with self._lock:
            self._index.compute_distance_subset(  # type: ignore[attr-defined]
                parts, faiss.swig_ptr(queries), width, faiss.swig_ptr(scores), faiss.swig_ptr(wanted)
            )
        return scores[: len(rows)]


class Rows:
    """The filter that a commit is: some rows in an order, of which several may be the same. Each is scored once."""

    def __init__(self, index: DenseIndex, rows: NDArray[np.int64]) -> None:
        self._index = index
        is_wanted = np.zeros(int(rows.max(initial=-1)) + 1, dtype=np.bool_)
        is_wanted[rows] = True
        self._wanted = np.flatnonzero(is_wanted)
        places = np.cumsum(is_wanted, dtype=np.int32) - 1
        self._places = places[rows]

    def cosines(self, query: Vector) -> NDArray[np.float64]:
        """Of the query with each, float64 of shape (how many rows,)."""
        return self._index.scores(query, self._wanted)[self._places].astype(np.float64)
