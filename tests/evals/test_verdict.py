"""Verdicts from repeats on both sides."""

from __future__ import annotations

import pytest

from evals.interval import pass_rate
from evals.scoring import Judgement, Tally
from evals.verdict import case_verdict, replay_verdict
from gateway.replay import CaseReplay, CaseVerdict

FAILED = Judgement("failed", "EMPTY_RESULT")
AWAY = Judgement("undecided", "ENGINE_FAILED")
NO_ENGINE = Judgement("undecided", "ENGINE_MISSING")


def tally(passed: int, repeats: int) -> Tally:
    return Tally(passed, repeats, FAILED if passed < repeats else Judgement("passed"))


@pytest.mark.parametrize(
    ("before", "after", "repeats", "verdict"),
    [
        (1, 1, 1, "same"),
        (0, 0, 1, "same"),
        (1, 0, 1, "worse"),
        (0, 1, 1, "better"),
        (2, 1, 2, "flaky"),
        (2, 0, 2, "worse"),
        (3, 2, 3, "flaky"),
        (2, 1, 3, "flaky"),
        (3, 1, 3, "worse"),
        (3, 0, 3, "worse"),
        (1, 3, 3, "better"),
        (2, 3, 3, "flaky"),
        (5, 3, 5, "flaky"),
        (5, 2, 5, "worse"),
        # More repeats show smaller drops: Fisher's exact test gives 0.024 and 0.053.
        (20, 15, 20, "worse"),
        (20, 16, 20, "flaky"),
        (15, 20, 20, "better"),
    ],
)
def test_a_drop_counts_when_another_draw_would_not_turn_it(
    before: int, after: int, repeats: int, verdict: CaseVerdict
) -> None:
    assert case_verdict(tally(before, repeats), tally(after, repeats)) == verdict


def test_a_side_that_could_not_be_judged_leaves_the_case_undecided() -> None:
    assert case_verdict(tally(1, 1), Tally(0, 1, AWAY)) == "undecided"
    assert case_verdict(Tally(0, 1, AWAY), tally(1, 1)) == "undecided"


def test_an_answer_that_comes_without_an_engine_is_better_than_none_and_losing_it_is_worse() -> None:
    assert case_verdict(Tally(0, 1, NO_ENGINE), tally(1, 1)) == "better"
    assert case_verdict(tally(1, 1), Tally(0, 1, NO_ENGINE)) == "worse"
    assert case_verdict(Tally(0, 1, NO_ENGINE), Tally(0, 1, NO_ENGINE)) == "undecided"
    assert case_verdict(Tally(0, 1, NO_ENGINE), Tally(0, 1, AWAY)) == "undecided"


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], "clean"),
        (["same", "better", "flaky"], "clean"),
        (["same", "undecided", "better"], "undecided"),
        (["undecided", "worse", "better"], "regression"),
    ],
)
def test_one_worse_case_is_a_regression_whatever_got_better(verdicts: list[CaseVerdict], expected: str) -> None:
    cases = [CaseReplay(str(i), "", True, None, None, verdict) for i, verdict in enumerate(verdicts)]

    assert replay_verdict(cases) == expected


def test_the_wilson_interval_of_8_of_10_is_the_published_one() -> None:
    rate = pass_rate(8, 10)

    assert rate is not None
    assert (round(rate.low, 4), rate.rate, round(rate.high, 4)) == (0.4902, 0.8, 0.9433)
    assert pass_rate(0, 0) is None
    all_passed = pass_rate(5, 5)
    assert all_passed is not None
    assert (round(all_passed.low, 4), all_passed.high) == (0.5655, 1.0)
