"""The dense and the sparse index, and what they are made of, against answers computed without them."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.bench.bm25 import Bm25
from kb.dense_index import DenseIndex
from kb.growing_array import GrowingArray
from kb.sparse_index import SparseIndex
from kb.spellings import Spellings
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


def bm25(texts: Sequence[str], query: str, members: Sequence[bool] | None = None) -> list[float]:
    """Of each text in the collection of the members; all are, unless it is said which."""
    index = SparseIndex()
    for slot, text in enumerate(texts):
        index.add(slot, text)
    inside = np.array(members if members is not None else [True] * len(texts), dtype=np.bool_)
    scores: list[float] = index.collection(inside).scores(query).tolist()
    return scores


def test_bm25_is_what_the_formula_gives() -> None:
    """Lucene: ln(1 + (N - df + 0.5) / (df + 0.5)) times tf / (tf + k1 (1 - b + b len / mean)); k1 1.5, b 0.75."""
    scores = bm25(["orders state", "orders orders customers country"], "orders")
    idf = math.log(1 + 0.5 / 2.5)
    short, long = 1 / (1 + 1.5 * (0.25 + 0.75 * 2 / 3)), 2 / (2 + 1.5 * (0.25 + 0.75 * 4 / 3))
    assert scores == pytest.approx([idf * short, idf * long], rel=1e-9)


_words = st.lists(st.sampled_from("orders order customer state the paid zebra ?".split()), max_size=8).map(" ".join)


@given(st.lists(_words, max_size=12), _words)
def test_bm25_is_that_of_the_library(texts: list[str], query: str) -> None:
    assert bm25(texts, query) == pytest.approx(Bm25(texts).scores(query).tolist(), rel=1e-4, abs=1e-6)


@given(st.lists(st.tuples(_words, st.booleans()), max_size=12), _words)
def test_bm25_of_a_commit_is_that_of_its_texts_alone(texts: list[tuple[str, bool]], query: str) -> None:
    scores = bm25([text for text, _ in texts], query, [inside for _, inside in texts])
    alone = iter(bm25([text for text, inside in texts if inside], query))
    assert scores == [next(alone) if inside else 0.0 for _, inside in texts]


def test_texts_that_were_added_after_a_commit_are_not_its_texts() -> None:
    index = SparseIndex()
    index.add(0, "orders")
    collection = index.collection(np.ones(1, dtype=np.bool_))
    before = collection.scores("orders").tolist()
    index.add(3, "orders of customers")
    assert collection.scores("orders").tolist() == before == index.collection(np.ones(1, np.bool_)).scores("orders")


@pytest.mark.parametrize("query", ["", "?!", "zebra", "👍", "\0", "the the the"])
def test_a_query_that_shares_no_word_scores_zero_everywhere(query: str) -> None:
    assert bm25(["orders state", "customers"], query) == [0.0, 0.0]


@pytest.mark.parametrize("texts", [[], [""], ["", "?!"]])
def test_texts_without_words_score_zero(texts: list[str]) -> None:
    assert bm25(texts, "orders") == [0.0] * len(texts)


def test_an_empty_text_beside_others_scores_zero() -> None:
    scores = bm25(["", "orders", "customers"], "orders zebra")
    assert scores[0] == scores[2] == 0.0
    assert scores[1] > 0


def test_words_match_by_their_stem_and_identifiers_as_they_are_said() -> None:
    assert min(bm25(["orderItems", "customer"], "items that customers ordered")) > 0


@pytest.mark.parametrize("word", ["orders", "a", "éà"])
def test_a_word_is_near_what_is_one_slip_away_and_nothing_else(word: str) -> None:
    alphabet = "ordesaéz"
    slips = {word[:at] + word[at + 1 :] for at in range(len(word))}
    slips |= {word[:at] + letter + word[at:] for at in range(len(word) + 1) for letter in alphabet}
    slips |= {word[:at] + letter + word[at + 1 :] for at in range(len(word)) for letter in alphabet}
    slips |= {word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in range(len(word) - 1)}
    index = Spellings()
    for known in sorted(slips | {"order", "doers", "ordersess", "xyz", "sredro"}):
        index.add(known)
    assert {known for distance, known in index.near(word) if distance == 1} == slips - {word}
    assert index.near(word)[0] == (0, word)


def test_a_word_far_longer_than_any_known_takes_no_memory_to_be_found_near_none() -> None:
    index = Spellings()
    index.add("orders")
    word = "".join(np.random.default_rng(0).choice(list("abcdefgh"), 5_000))
    tracemalloc.start()
    found, (_, peak_bytes) = index.near(word), tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (found, peak_bytes < 1_000_000) == ([], True)


def test_what_was_taken_of_a_growing_array_does_not_change() -> None:
    array: GrowingArray[np.int32] = GrowingArray(np.int32)
    taken = []
    for value in range(100):
        array.append(value)
        taken.append(array.values)
    array.extend(range(100, 300))
    assert [values.tolist() for values in taken] == [list(range(size)) for size in range(1, 101)]
    assert array.values.tolist() == list(range(300))


def test_a_row_scores_the_same_to_the_bit_wherever_it_lies() -> None:
    vectors = unit_vectors(300, seed=8)
    index, turned = filled(vectors), filled(vectors[::-1])
    (query,) = unit_vectors(1, seed=9)
    rows = np.arange(300)
    assert (index.scores(query, rows) == turned.scores(query, 299 - rows)).all()


def test_a_large_commit_is_scored_in_parts_and_each_row_once() -> None:
    vectors = unit_vectors(20_001, seed=10)
    index = filled(vectors)
    (query,) = unit_vectors(1, seed=11)
    rows = np.arange(20_001)
    whole = index.scores(query, rows)
    assert (whole[::7] == index.scores(query, rows[::7])).all()
    assert whole == pytest.approx(np.stack(vectors) @ query, abs=1e-6)
