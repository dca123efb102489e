"""The dense and the sparse index against answers computed without them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kb.dense_index import DenseIndex
from kb.sparse_index import SparseIndex
from kb.store import Vector

DIMENSION = 24


def unit_vectors(count: int, seed: int) -> list[Vector]:
    vectors = np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)
    return list(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def filled(vectors: list[Vector]) -> DenseIndex:
    index = DenseIndex(DIMENSION)
    index.add({f"t{place}": vector for place, vector in enumerate(vectors)})
    return index


@pytest.mark.parametrize("k", [1, 10, 100])
def test_exact_search_has_an_ann_recall_of_one(k: int) -> None:
    vectors = unit_vectors(500, seed=1)
    index = filled(vectors)
    wanted = list(range(0, 500, 2))
    rows = index.rows([f"t{place}" for place in wanted])
    exact = np.stack(vectors)[wanted]
    for query in unit_vectors(20, seed=2):
        found = set(np.argsort(-index.scores(query, rows), kind="stable")[:k].tolist())
        true = set(np.argsort(-(exact @ query), kind="stable")[:k].tolist())
        ann_recall_at_k = len(found & true) / k
        assert ann_recall_at_k == 1.0


def test_scores_are_cosines_in_the_order_of_the_rows() -> None:
    vectors = unit_vectors(50, seed=3)
    index = filled(vectors)
    (query,) = unit_vectors(1, seed=4)
    names = ["t7", "t3", "t49", "t0"]
    expected = [float(vectors[int(name[1:])] @ query) for name in names]
    assert index.scores(query, index.rows(names)) == pytest.approx(expected, abs=1e-6)


def test_a_row_asked_for_twice_is_answered_twice() -> None:
    vectors = unit_vectors(5, seed=5)
    scores = filled(vectors).scores(vectors[2], np.array([2, 1, 2]))
    assert scores[0] == scores[2] == pytest.approx(1.0, abs=1e-6)
    assert scores[1] < 1


def test_a_text_is_held_once() -> None:
    vectors = unit_vectors(3, seed=6)
    index = filled(vectors)
    index.add({"t0": vectors[1], "new": vectors[2]})
    assert len(index) == 4
    assert index.scores(vectors[0], index.rows(["t0"]))[0] == pytest.approx(1.0, abs=1e-6)


def test_nothing_added_and_nothing_asked_for_are_fine() -> None:
    index = DenseIndex(DIMENSION)
    index.add({})
    assert len(index) == 0
    assert index.scores(unit_vectors(1, seed=7)[0], index.rows([])).shape == (0,)


def test_bm25_is_what_the_formula_gives() -> None:
    """Lucene: ln(1 + (N - df + 0.5) / (df + 0.5)) times tf / (tf + k1 (1 - b + b len / mean)); k1 1.5, b 0.75."""
    scores = SparseIndex(["orders state", "orders orders customers country"]).scores("orders")
    idf = math.log(1 + 0.5 / 2.5)
    short, long = 1 / (1 + 1.5 * (0.25 + 0.75 * 2 / 3)), 2 / (2 + 1.5 * (0.25 + 0.75 * 4 / 3))
    assert scores == pytest.approx([idf * short, idf * long], rel=1e-5)


@pytest.mark.parametrize("query", ["", "?!", "zebra", "👍", "\0", "the the the"])
def test_a_query_that_shares_no_word_scores_zero_everywhere(query: str) -> None:
    assert SparseIndex(["orders state", "customers"]).scores(query).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("texts", [[], [""], ["", "?!"]])
def test_texts_without_words_score_zero(texts: list[str]) -> None:
    assert SparseIndex(texts).scores("orders").tolist() == [0.0] * len(texts)


def test_an_empty_text_beside_others_scores_zero() -> None:
    scores = SparseIndex(["", "orders", "customers"]).scores("orders zebra")
    assert scores[0] == scores[2] == 0.0
    assert scores[1] > 0


def test_words_match_by_their_stem_and_identifiers_as_they_are_said() -> None:
    assert SparseIndex(["orderItems", "customer"]).scores("items that customers ordered").min() > 0
