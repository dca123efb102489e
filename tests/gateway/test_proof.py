"""A gotcha is proved where the answer is right with it and wrong without it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.proof import prove
from gateway.replay import Judged
from kb.items import Gotcha, Item

A, B, C = (Item(f"gotcha:{name}", name, Gotcha(name), status="proposed") for name in "abc")
Tried = list[tuple[str, ...]]


def engine_that(answers: Callable[[set[str]], str], tried: Tried) -> Callable[[tuple[Item, ...]], Judged]:
    """Its outcome is what `answers` says of the titles of the gotchas in its context."""

    def try_with(gotchas: tuple[Item, ...]) -> Judged:
        tried.append(tuple(item.title for item in gotchas))
        return Judged(answers({item.title for item in gotchas}), "told so", engine_calls=1)  # type: ignore[arg-type]

    return try_with


def needs(*titles: str) -> Callable[[set[str]], str]:
    return lambda given: "right" if given >= set(titles) else "wrong"


def test_a_gotcha_that_turns_the_answer_is_proved_by_two_trials() -> None:
    tried: Tried = []
    proof = prove((A,), engine_that(needs("a"), tried))
    assert (proof.proved, proof.away, proof.engine_calls) == ((A,), False, 2)
    assert tried == [("a",), ()]
    assert proof.detail == "gotcha:a (a) turns the answer right"


def test_a_gotcha_that_does_not_mend_the_answer_is_not_proved_and_costs_one_trial() -> None:
    tried: Tried = []
    proof = prove((A,), engine_that(needs("x"), tried))
    assert (proof.proved, tried) == ((), [("a",)])
    assert proof.detail == "not proved: with gotcha:a (a) the answer is not right: told so"


def test_an_answer_that_is_right_without_it_proves_nothing() -> None:
    proof = prove((A,), engine_that(needs(), []))
    assert proof.proved == ()
    assert "right without gotcha:a" in proof.detail


def test_two_that_are_both_needed_are_proved_together() -> None:
    tried: Tried = []
    proof = prove((A, B), engine_that(needs("a", "b"), tried))
    assert proof.proved == (A, B)
    assert tried == [("a", "b"), ("b",), ("a",)]


def test_one_that_is_not_needed_beside_the_others_is_not_proposed() -> None:
    tried: Tried = []
    proof = prove((A, B, C), engine_that(needs("a", "c"), tried))
    assert proof.proved == (A, C)
    assert tried == [("a", "b", "c"), ("b", "c"), ("a", "c"), ("a",)]
    assert "gotcha:b (b) is not needed" in proof.detail


@pytest.mark.parametrize("outcome", ["undecided", "away"])
def test_what_cannot_be_judged_proves_nothing_and_says_whether_to_try_again(outcome: str) -> None:
    with_it = prove((A,), engine_that(lambda given: outcome, []))
    without_it = prove((A,), engine_that(lambda given: "right" if given else outcome, []))
    for proof in (with_it, without_it):
        assert (proof.proved, proof.away) == ((), outcome == "away")
        assert "told so" in proof.detail
