"""Pieces of a benchmark, here and in several processes."""

from __future__ import annotations

import os
from functools import partial

from evals.bench.learning.jobs import Say, all_done, slices
from kb.embedding import Embedder, SentenceEmbedder


def _process_and_dimension(number: int, embedder: Embedder, say: Say) -> tuple[int, int, int]:
    say(f"piece {number}")
    return number, os.getpid(), embedder.dimension


def test_slices_cover_all_in_order_and_none_is_empty() -> None:
    assert slices(7, 3) == [range(0, 2), range(2, 4), range(4, 7)]
    assert slices(2, 5) == [range(0, 1), range(1, 2)]
    assert slices(0, 4) == [range(0, 0)]


def test_two_jobs_give_what_one_gives_in_the_order_of_the_pieces_from_other_processes() -> None:
    pieces = [partial(_process_and_dimension, number) for number in range(3)]
    here = all_done(pieces, 1, SentenceEmbedder(), lambda _: None)
    there = all_done(pieces, 2, SentenceEmbedder(), lambda _: None)
    assert [number for number, _, _ in here] == [number for number, _, _ in there] == [0, 1, 2]
    assert {dimension for _, _, dimension in here + there} == {384}
    assert {process for _, process, _ in here} == {os.getpid()}
    assert os.getpid() not in {process for _, process, _ in there}
