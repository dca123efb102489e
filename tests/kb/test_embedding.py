"""Embeddings by the model that ships with Kvasir, and the keeping of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from kb.embedding import SentenceEmbedder, StoredEmbedder, text_hash
from kb.errors import EmbeddingModelInvalid
from kb.memory_store import MemoryStore


class Counting:
    """The embedder, with every text it was asked for."""

    def __init__(self, embedder: SentenceEmbedder, model: str = "counted") -> None:
        self._embedder, self.model = embedder, model
        self.dimension = embedder.dimension
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked.extend(texts)
        return self._embedder.embed(texts)


def test_vectors_are_unit_vectors_of_the_models_dimension(embedder: SentenceEmbedder) -> None:
    vectors = embedder.embed(["orders", "customers of ours"])
    assert (vectors.shape, vectors.dtype) == ((2, 384), np.float32)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1.0, 1.0], abs=1e-5)


def test_like_texts_are_nearer_than_unlike_ones(embedder: SentenceEmbedder) -> None:
    shop, store, weather = embedder.embed(["orders of a shop", "purchases in a store", "rain in the mountains"])
    assert shop @ store > shop @ weather + 0.2


def test_no_texts_give_no_vectors(embedder: SentenceEmbedder) -> None:
    assert embedder.embed([]).shape == (0, 384)


@pytest.mark.parametrize("text", ["", "\0", "\ud800 half a pair", "👍", "\u202eabc", "word " * 5000])
def test_any_text_has_a_vector(embedder: SentenceEmbedder, text: str) -> None:
    (vector,) = embedder.embed([text])
    assert float(vector @ vector) == pytest.approx(1.0, abs=1e-4)


def test_an_unknown_model_is_named(tmp_path: object) -> None:
    with pytest.raises(EmbeddingModelInvalid, match="no-such-model"):
        SentenceEmbedder(f"{tmp_path}/no-such-model").embed(["x"])


def test_a_text_is_embedded_once_per_store(embedder: SentenceEmbedder) -> None:
    store, counting = MemoryStore(), Counting(embedder)
    first = StoredEmbedder(counting, store).embed(["a", "b", "a"])
    again = StoredEmbedder(counting, store).embed(["b", "c"])
    assert counting.asked == ["a", "b", "c"]
    assert first.keys() == {text_hash("a"), text_hash("b")}
    assert np.array_equal(again[text_hash("b")], first[text_hash("b")])


def test_another_model_has_vectors_of_its_own(embedder: SentenceEmbedder) -> None:
    store, one, two = MemoryStore(), Counting(embedder, "one"), Counting(embedder, "two")
    StoredEmbedder(one, store).embed(["a"])
    StoredEmbedder(two, store).embed(["a"])
    assert (one.asked, two.asked) == (["a"], ["a"])
