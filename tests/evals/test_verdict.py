"""Verdicts from repeats on both sides."""

from __future__ import annotations

import pytest

from evals.interval import pass_rate
from evals.paired import paired_test
from evals.scoring import Judgement, Tally
from evals.verdict import case_verdict, replay_verdict
from gateway.replay import CaseOutcome, CaseReplay, CaseVerdict, PairedTest

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

    assert replay_verdict(cases, None) == expected


@pytest.mark.parametrize(
    ("lost", "gained", "verdict"),
    [(5, 0, "undecided"), (6, 0, "regression"), (8, 1, "regression"), (7, 1, "undecided"), (0, 9, "undecided")],
)
def test_a_loss_over_all_cases_counts_where_it_is_no_chance(lost: int, gained: int, verdict: str) -> None:
    answered, failed = CaseOutcome(3, 3), CaseOutcome(2, 3)
    cases = [CaseReplay(f"lost{i}", "", True, answered, failed, "flaky") for i in range(lost)]
    cases += [CaseReplay(f"gained{i}", "", True, failed, answered, "flaky") for i in range(gained)]
    cases.append(CaseReplay("away", "", True, answered, None, "undecided"))

    assert replay_verdict(cases, paired_test(cases)) == verdict


def test_the_paired_test_is_mcnemars_with_the_exact_interval_of_the_change() -> None:
    passed, failed = CaseOutcome(1, 1), CaseOutcome(0, 1)
    cases = [CaseReplay(f"same{i}", "", False, None, None, "same") for i in range(91)]
    cases += [CaseReplay(f"lost{i}", "", True, passed, failed, "worse") for i in range(6)]
    cases += [
        CaseReplay("gained", "", True, None, passed, "better"),
        CaseReplay("x", "", True, None, None, "undecided"),
    ]
    cases += [
        CaseReplay("both", "", True, passed, passed, "same"),
        CaseReplay("none", "", True, failed, failed, "same"),
    ]
    listed = CaseReplay("listed", "", True, passed, failed, "flaky", flaky_listed=True)

    test = paired_test([*cases, listed])

    # Of 7 that moved 1 was gained: 2 · (1 + 7) / 2^7; Clopper and Pearson give 0.0036 to 0.5787 of 7.
    assert test is not None
    assert (test.cases, test.lost, test.gained, test.p_value) == (100, 6, 1, 0.125)
    assert (test.change, round(test.low, 4), round(test.high, 4)) == (pytest.approx(-0.05), -0.0695, 0.011)


def test_where_no_case_moved_the_change_is_none_and_where_none_was_judged_there_is_no_test() -> None:
    same = CaseReplay("same", "", False, None, None, "same")

    assert paired_test([same]) == PairedTest(1, 0, 0, 1.0, 0.0, 0.0, 0.0)
    assert paired_test([CaseReplay("x", "", True, None, None, "undecided")]) is None


def test_the_wilson_interval_of_8_of_10_is_the_published_one() -> None:
    rate = pass_rate(8, 10)

    assert rate is not None
    assert (round(rate.low, 4), rate.rate, round(rate.high, 4)) == (0.4902, 0.8, 0.9433)
    assert pass_rate(0, 0) is None
    all_passed = pass_rate(5, 5)
    assert all_passed is not None
    assert (round(all_passed.low, 4), all_passed.high) == (0.5655, 1.0)
