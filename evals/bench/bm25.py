"""BM25 alone, by the library bm25s: what retrieval is measured beside, and what its own index has to agree with."""

from __future__ import annotations

from collections.abc import Sequence

import bm25s
import numpy as np
from numpy.typing import NDArray

from kb.words import stems


class Bm25:
    def __init__(self, texts: Sequence[str]) -> None:
        tokens = [stems(text) for text in texts]
        self._size = len(texts)
        self._vocabulary = {token for text in tokens for token in text}
        self._bm25 = bm25s.BM25() if self._vocabulary else None
        if self._bm25:
            self._bm25.index(tokens, show_progress=False)

    def scores(self, query: str) -> NDArray[np.float32]:
        """BM25 of every text for the query, float32 of shape (len(texts),); 0 where no word is shared."""
        known = [token for token in stems(query) if token in self._vocabulary]
        if not self._bm25 or not known:
            return np.zeros(self._size, dtype=np.float32)
        return np.asarray(self._bm25.get_scores(known), dtype=np.float32)
