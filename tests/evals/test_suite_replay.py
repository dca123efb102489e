"""The replay that the gateway asks for: an assistant's suite and the confirmed successes of its base."""

from __future__ import annotations

import threading

import pytest

from evals.errors import SuiteInvalid, SuiteNotFound
from evals.replay import SuiteReplay
from gateway.replay import CaseOutcome, Replay, ReplayReport

from .conftest import OpenShop, Shop, success
from .replayed import (
    BY_STATE,
    BY_STATUS,
    CANCELLED,
    GERMANS,
    GERMANS_SQL,
)


def test_the_replay_is_what_the_gateway_asks_for() -> None:
    replay: Replay = SuiteReplay()

    assert callable(replay)


def test_a_new_success_makes_its_own_question_better(open_shop: OpenShop) -> None:
    shop = open_shop(verified_answers=True)
    before = shop.head
    after = shop.learn(success("cancelled", CANCELLED, BY_STATE))
    shop.engine.enqueue(BY_STATUS)

    report = SuiteReplay()(shop.core, shop.assistant, before, after)

    assert [(c.id, c.verdict) for c in report.cases] == [("success:cancelled", "better")]
    assert (report.verdict, report.engine_calls) == ("clean", 1)


def test_a_first_success_is_better_than_no_engine_at_all(open_shop: OpenShop) -> None:
    shop = open_shop(verified_answers=True, with_engine=False)
    before = shop.head
    after = shop.learn(success("cancelled", CANCELLED, BY_STATE))

    report = SuiteReplay()(shop.core, shop.assistant, before, after)

    assert (report.cases[0].verdict, report.verdict, report.engine_calls) == ("better", "clean", 0)


def test_superseded_and_retired_successes_are_no_cases(shop: Shop) -> None:
    old = success("old", CANCELLED, BY_STATUS)
    before = shop.learn(old, success("germans", GERMANS, GERMANS_SQL))
    new = success("new", CANCELLED, BY_STATE, supersedes=(old.id,))
    after = shop.learn(old.with_status("retired"), new)
    shop.engine.enqueue(BY_STATUS, BY_STATE)

    report = SuiteReplay()(shop.core, shop.assistant, before, after)

    assert {case.id: case.verdict for case in report.cases} == {"success:germans": "same", "success:new": "better"}


def test_a_success_without_a_statement_is_judged_by_its_retrieval(shop: Shop) -> None:
    before = shop.head
    after = shop.learn(success("opening", "When did the shop open?", "In January 2024."))

    report = SuiteReplay()(shop.core, shop.assistant, before, after)

    assert [(c.verdict, c.prompt_changed) for c in report.cases] == [("better", True)]
    assert report.engine_calls == 0


def test_the_suite_is_replayed_and_a_success_of_the_same_question_is_not_asked_twice(open_shop: OpenShop) -> None:
    shop = open_shop(repeats=2)
    path = shop.suite(
        f"suite: shop\nassistant: shop\nrepeats: 1\ncases:\n- id: cancelled\n  question: '{CANCELLED.upper()}'\n"
        f'  expect: [{{sql_result: {{sql: "{BY_STATE}"}}}}]\n'
    )
    settings = shop.assistant.settings.model_copy(update={"suite": str(path)})
    assistant = type(shop.assistant)("shop", settings, shop.base, shop.engine, shop.assistant.datasource)
    before = shop.head
    after = shop.learn(success("cancelled", CANCELLED, BY_STATE))
    shop.engine.enqueue(*[BY_STATE] * 4)

    report = SuiteReplay()(shop.core, assistant, before, after)

    both = CaseOutcome(2, 2, answer=BY_STATE)
    assert [(c.id, c.base, c.head) for c in report.cases] == [("cancelled", both, both)]


def test_a_suite_that_is_missing_or_wrong_is_an_error_and_not_an_empty_replay(open_shop: OpenShop) -> None:
    shop = open_shop(suite="/nowhere/suite.yaml")

    with pytest.raises(SuiteNotFound, match=r"\[assistants\.shop\]"):
        SuiteReplay()(shop.core, shop.assistant, shop.head, shop.head)

    settings = shop.assistant.settings.model_copy(update={"suite": str(shop.suite("suite: shop\n"))})
    assistant = type(shop.assistant)("shop", settings, shop.base, shop.engine, shop.assistant.datasource)
    with pytest.raises(SuiteInvalid, match="assistant"):
        SuiteReplay()(shop.core, assistant, shop.head, shop.head)


def test_a_base_without_successes_and_an_assistant_without_a_suite_replay_nothing(shop: Shop) -> None:
    report = SuiteReplay()(shop.core, shop.assistant, shop.head, shop.head)

    assert (report.cases, report.verdict) == ((), "clean")


def test_a_worker_thread_can_replay_while_the_main_thread_runs_a_loop(shop: Shop) -> None:
    before = shop.head
    after = shop.learn(success("cancelled", CANCELLED, BY_STATE))
    shop.engine.enqueue(BY_STATUS, BY_STATE)
    reports: list[ReplayReport] = []

    worker = threading.Thread(target=lambda: reports.append(SuiteReplay()(shop.core, shop.assistant, before, after)))
    worker.start()
    worker.join()

    assert [report.verdict for report in reports] == ["clean"]
