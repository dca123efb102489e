"""The sparse index: BM25 over all texts, each held once; a commit is a filter over it.

How rare a word is and how long a text is beside the others are counted among the texts of the commit alone, so the
scores are those of an index that was made for it. The formula is Lucene's, as in bm25s (Lù 2024), which has to be
made anew for each collection.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from kb.growing_array import GrowingArray
from kb.words import stems

K1, B = 1.5, 0.75
_POSTING = np.dtype([("slot", np.int32), ("count", np.int32)])


class SparseIndex:
    """Texts are known by slots, which are added in ascending order. One thread at a time may add."""

    def __init__(self) -> None:
        self._postings: dict[str, GrowingArray[np.void]] = {}
        self._lengths: GrowingArray[np.int32] = GrowingArray(np.int32)

    def add(self, slot: int, text: str) -> None:
        counts = Counter(stems(text))
        self._lengths.extend(np.zeros(slot - len(self._lengths), dtype=np.int32))
        self._lengths.append(counts.total())
        for token, count in counts.items():
            posting = self._postings.get(token)
            if posting is None:
                posting = self._postings.setdefault(token, GrowingArray(_POSTING))
            posting.append((slot, count))

    def mean_length(self, slots: NDArray[np.int64]) -> float:
        """Words of the texts of `slots`, on average."""
        return float(self._lengths.values[slots].sum(dtype=np.int64)) / max(1, len(slots))

    def scores(self, query: str, members: NDArray[np.bool_], count: int, mean_length: float) -> NDArray[np.float64]:
        """BM25 by slot, float64 of shape (len(members),); 0 where no word is shared and where `members` is false.

        `count` and `mean_length` are those of the members.
        """
        scores = np.zeros(len(members))
        lengths = self._lengths.values
        for token, times in Counter(stems(query)).items():
            posting = self._postings.get(token)
            if posting is None:
                continue
            slots, counts = posting.values["slot"], posting.values["count"]
            end = int(np.searchsorted(slots, len(members)))
            slots, counts = slots[:end], counts[:end]
            inside = members[slots]
            slots, counts = slots[inside], counts[inside]
            rarity = np.log(1 + (count - len(slots) + 0.5) / (len(slots) + 0.5))
            norm = K1 * (1 - B + B * lengths[slots] / mean_length) if len(slots) else 0.0
            scores[slots] += times * rarity * counts / (counts + norm)
        return scores
