"""Noise in a replay: repeats, cases that waver, and drops that only their sum tells from chance."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from backend.errors import EngineTimeout
from evals.case import FlakyMeasure
from gateway.replay import PairedTest

from .conftest import Shop
from .replayed import (
    BY_STATE,
    BY_STATUS,
    CANCELLED,
    HINT,
    WRONG_HINT,
    cancelled,
    replayed,
)

WAVERS = FlakyMeasure(7, 10, "c" * 12, date(2026, 11, 28))


def test_answers_are_stored_and_a_second_replay_calls_no_engine(shop: Shop) -> None:
    before = shop.head
    shop.learn(HINT)
    shop.engine.enqueue(BY_STATUS, BY_STATE, BY_STATE, BY_STATE)
    first = replayed(shop, cancelled, base=before, repeats=2)

    again = replayed(shop, cancelled, base=before, repeats=2)

    assert (first.engine_calls, again.engine_calls) == (4, 0)
    assert (first.stored_answers, again.stored_answers) == (0, 4)
    assert again.cases == first.cases
    assert again.cases[0].verdict == "flaky"


def test_a_replay_with_more_repeats_asks_only_for_the_new_ones(shop: Shop) -> None:
    before = shop.head
    shop.learn(HINT)
    shop.engine.enqueue(BY_STATE, BY_STATE)
    replayed(shop, cancelled, base=before)
    shop.engine.enqueue(BY_STATE, BY_STATUS, BY_STATUS, BY_STATUS)

    report = replayed(shop, cancelled, base=before, repeats=3)

    assert report.engine_calls == 4
    # The stored first draws passed; of the new ones base had one of two, head none.
    assert [(c.base and c.base.passed, c.head and c.head.passed) for c in report.cases] == [(2, 1)]


@pytest.mark.parametrize(("later", "verdict"), [(BY_STATUS, "worse"), (BY_STATE, "flaky")])
def test_a_case_that_seems_worse_in_a_few_draws_is_drawn_again(shop: Shop, later: str, verdict: str) -> None:
    before = shop.head
    shop.learn(WRONG_HINT)
    shop.engine.enqueue(*[BY_STATE] * 3, BY_STATE, BY_STATUS, BY_STATUS)
    shop.engine.enqueue(*[BY_STATE] * 9, *[later] * 9)

    report = replayed(shop, cancelled, base=before, repeats=3)

    (outcome,) = report.cases
    assert outcome.base is not None
    assert outcome.head is not None
    assert (outcome.base.passed, outcome.head.repeats, report.engine_calls) == (12, 12, 24)
    assert (outcome.verdict, outcome.head.passed) == (verdict, 1 if verdict == "worse" else 10)


def test_a_case_on_the_flaky_list_is_reported_and_decides_nothing(shop: Shop) -> None:
    before = shop.head
    shop.learn(WRONG_HINT)
    wavers = replace(cancelled, flaky=WAVERS)
    away = replace(wavers, id="away", question="How many orders placed in 2024 were cancelled?")
    # Both cases are under way at once: both bases are asked before the first head.
    shop.engine.enqueue(BY_STATE, EngineTimeout("main", 1.0), BY_STATUS)

    report = replayed(shop, wavers, away, base=before)

    assert [(case.verdict, case.flaky_listed) for case in report.cases] == [("flaky", True), ("undecided", True)]
    assert report.cases[0].detail.startswith("worse, and on the flaky list (7 of 10 at cccccccccccc on 2026-11-28)")
    assert (report.verdict, report.paired) == ("clean", None)


def test_drops_that_are_noise_one_by_one_are_a_regression_where_their_sum_is_not(shop: Shop) -> None:
    before = shop.head
    shop.learn(WRONG_HINT)
    cases = [replace(cancelled, id=f"in-{year}", question=CANCELLED.replace("2025", str(year))) for year in range(6)]
    shop.engine.enqueue(*[BY_STATE] * 3 * len(cases))  # all bases first: the cases are under way at once
    for _ in cases:
        shop.engine.enqueue(BY_STATE, BY_STATE, BY_STATUS)

    report = replayed(shop, *cases, base=before, repeats=3)
    fewer = replayed(shop, *cases[:5], base=before, repeats=3)

    assert {case.verdict for case in report.cases} == {"flaky"}
    assert (report.verdict, [case.id for case in report.suspects]) == ("regression", [case.id for case in cases])
    assert report.paired == PairedTest(6, 6, 0, 0.03125, -1.0, -1.0, pytest.approx(-0.0815, abs=1e-4))
    assert fewer.verdict == "clean"
