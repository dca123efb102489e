"""A one-dimensional array that grows at its end, in amortised constant time, while others read it."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


class GrowingArray(Generic[Scalar]):
    """One thread at a time may append; any may take `values`, which never change once taken."""

    def __init__(self, dtype: DTypeLike) -> None:
        self._held: NDArray[Any] = np.empty(4, dtype=dtype)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def values(self) -> NDArray[Scalar]:
        return self._held[: self._size]

    def append(self, value: object) -> None:
        self._reserve(self._size + 1)
        self._held[self._size] = value
        # Last, so that a reader sees a value whole or not at all.
        self._size += 1

    def extend(self, values: ArrayLike) -> None:
        added = np.asarray(values, dtype=self._held.dtype)
        self._reserve(self._size + len(added))
        self._held[self._size : self._size + len(added)] = added
        self._size += len(added)

    def _reserve(self, size: int) -> None:
        if size > len(self._held):
            held = np.empty(max(size, 2 * len(self._held)), dtype=self._held.dtype)
            held[: self._size] = self._held[: self._size]
            self._held = held
