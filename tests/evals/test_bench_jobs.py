"""Pieces of a benchmark: here, in several processes, and kept for the next run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from evals.bench.errors import KeptUnreadable
from evals.bench.learning.jobs import Jobs, Say, slices
from evals.bench.learning.kept_pieces import KeptPieces
from kb.embedding import Embedder, SentenceEmbedder


@dataclass(frozen=True)
class Made:
    number: int
    process: int
    model: str


def _make(number: int, embedder: Embedder, say: Say) -> Made:
    say(f"piece {number}")
    return Made(number, os.getpid(), embedder.model)


def _fail_at_two(number: int, embedder: Embedder, say: Say) -> Made:
    if number == 2:
        raise KeyboardInterrupt
    return _make(number, embedder, say)


PIECES = [partial(_make, number) for number in range(3)]
FORM = TypeAdapter(Made)


def jobs(count: int, kept: KeptPieces | None = None, told: list[str] | None = None) -> Jobs:
    return Jobs(count, SentenceEmbedder(), (told if told is not None else []).append, kept)


def test_slices_cover_all_in_order_and_none_is_empty() -> None:
    assert slices(7, 3) == [range(0, 2), range(2, 4), range(4, 7)]
    assert slices(2, 5) == [range(0, 1), range(1, 2)]
    assert slices(0, 4) == [range(0, 0)]


def test_two_jobs_give_what_one_gives_in_the_order_of_the_pieces_from_other_processes() -> None:
    here, there = jobs(1).done(PIECES, FORM), jobs(2).done(PIECES, FORM)
    assert [made.number for made in here] == [made.number for made in there] == [0, 1, 2]
    assert {made.model for made in here + there} == {SentenceEmbedder().model}
    assert {made.process for made in here} == {os.getpid()}
    assert os.getpid() not in {made.process for made in there}


def test_what_was_done_before_an_interrupt_is_not_made_again(tmp_path: Path) -> None:
    file = tmp_path / "pieces.jsonl"
    pieces = [partial(_fail_at_two, number) for number in range(3)]
    with pytest.raises(KeyboardInterrupt):
        jobs(1, KeptPieces(file)).done(pieces, FORM)

    told: list[str] = []
    kept = KeptPieces(file)
    with pytest.raises(KeyboardInterrupt):
        jobs(1, kept, told).done(pieces, FORM)
    assert told == ["2 of 3 pieces are kept from an earlier run"]
    assert jobs(1, kept).done(pieces[:2], FORM) == [
        Made(0, os.getpid(), SentenceEmbedder().model),
        Made(1, os.getpid(), SentenceEmbedder().model),
    ]
    assert list(kept.machines.values()) == [2]


def test_a_line_that_was_cut_off_is_made_anew_and_one_that_is_no_piece_is_told(tmp_path: Path) -> None:
    file = tmp_path / "pieces.jsonl"
    jobs(1, KeptPieces(file)).done(PIECES, FORM)
    whole = file.read_bytes()
    file.write_bytes(whole[:-9])

    told: list[str] = []
    jobs(1, KeptPieces(file), told).done(PIECES, FORM)
    assert told == ["2 of 3 pieces are kept from an earlier run", "piece 2"]
    assert file.read_bytes() == whole

    file.write_bytes(b'{"piece": 1}\n' + whole)
    with pytest.raises(KeptUnreadable, match=r"pieces\.jsonl: line 1 is no result"):
        KeptPieces(file)
