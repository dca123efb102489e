"""The sparse index: BM25 over all texts, each held once; a commit is a filter over it.

How rare a word is and how long a text is beside the others are counted among the texts of the commit alone, so the
scores are those of an index that was made for it. The formula is Lucene's, as in bm25s (Lù 2024), which has to be
made anew for each collection.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from kb.growing_array import GrowingArray
from kb.words import stems

K1, B = 1.5, 0.75


class _Posting:
    """The slots of the texts that have a word, ascending, and how often each has it."""

    def __init__(self) -> None:
        self.slots: GrowingArray[np.int32] = GrowingArray(np.int32)
        self.counts: GrowingArray[np.int32] = GrowingArray(np.int32)

    def add(self, slot: int, count: int) -> None:
        # In this order: whoever reads as many counts as there are slots has both of each.
        self.counts.append(count)
        self.slots.append(slot)


class SparseIndex:
    """Texts are known by slots, which are added in ascending order. One thread at a time may add."""

    def __init__(self) -> None:
        self._postings: dict[str, _Posting] = {}
        self._lengths: GrowingArray[np.int32] = GrowingArray(np.int32)

    def add(self, slot: int, text: str) -> None:
        counts = Counter(stems(text))
        self._lengths.extend(np.zeros(slot - len(self._lengths), dtype=np.int32))
        self._lengths.append(counts.total())
        for token, count in counts.items():
            self._postings.setdefault(token, _Posting()).add(slot, count)

    def collection(self, members: NDArray[np.bool_]) -> Collection:
        """The texts of the slots where `members` is true; each must have been added."""
        slots = np.flatnonzero(members)
        lengths = self._lengths.values[: len(members)]
        mean = float(lengths[slots].sum(dtype=np.int64)) / max(1, len(slots))
        norms = np.zeros(len(members))
        norms[: len(lengths)] = K1 * (1 - B + B * lengths / mean) if mean else K1
        return Collection(self._postings, members, len(slots), norms)


class Collection:
    """The texts of one commit. `norms` are what BM25 takes a word's count beside, by slot."""

    def __init__(
        self,
        postings: Mapping[str, _Posting],
        members: NDArray[np.bool_],
        size: int,
        norms: NDArray[np.float64],
    ) -> None:
        self._postings, self._members, self._size, self._norms = postings, members, size, norms

    def scores(self, query: str) -> NDArray[np.float64]:
        """BM25 by slot, float64 of shape (len(members),); 0 where no word is shared and outside the collection."""
        scores = np.zeros(len(self._members))
        for token, times in Counter(stems(query)).items():
            posting = self._postings.get(token)
            if posting is None:
                continue
            slots = posting.slots.values
            slots = slots[: np.searchsorted(slots, len(scores))]
            inside = self._members[slots]
            slots, counts = slots[inside], posting.counts.values[: len(slots)][inside]
            rarity = times * np.log(1 + (self._size - len(slots) + 0.5) / (len(slots) + 0.5))
            scores[slots] += rarity * counts / (counts + self._norms[slots])
        return scores
