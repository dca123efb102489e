"""Made-up embeddings for the texts of a base that is too large to embed, and real ones for the questions.

What a search costs does not depend on what the vectors mean, and really embedding 100,000 texts takes the better part
of an hour on two cores. So no figure of quality may be taken on such a base.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from kb.embedding import Embedder, text_hash

NOISE = 0.5
"""Length of what is added to a real vector of length 1: the cosine of the two is then 0.89 on average."""


class StandIns:
    """Embeds really, but for as long as `made_up` is open: then a text gets a real vector of another, and noise.

    Cosines are so spread as real ones are. Its vectors are kept under a model's name of their own.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._examples: NDArray[np.float32] | None = None

    @property
    def model(self) -> str:
        return f"{self._embedder.model}, stand-ins"

    @property
    def dimension(self) -> int:
        return self._embedder.dimension

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if self._examples is None:
            return self._embedder.embed(texts)
        vectors = np.stack([self._made_up(text, self._examples) for text in texts])
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)

    @contextmanager
    def made_up(self, examples: Sequence[str]) -> Iterator[None]:
        """Texts get the vectors of these, which are really embedded."""
        self._examples = self._embedder.embed(examples)
        try:
            yield
        finally:
            self._examples = None

    def _made_up(self, text: str, examples: NDArray[np.float32]) -> NDArray[np.float32]:
        random = np.random.default_rng(int(text_hash(text)[:16], 16))
        noise = random.standard_normal(self.dimension, dtype=np.float32)
        chosen = examples[random.integers(len(examples))]
        return np.asarray(chosen + NOISE * noise / np.linalg.norm(noise), dtype=np.float32)
