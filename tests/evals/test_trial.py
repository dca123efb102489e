"""Single answers, judged by the rules of a replay."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import func, select

from backend.errors import ContextTooLong, EngineUnreachable
from evals.replay import SuiteReplay
from gateway.replay import Judged
from gateway.tables import requests, turns
from gateway.traces import Trace

from .conftest import OpenShop, Shop, gotcha

BY_STATE = "SELECT count(*) FROM orders WHERE state = 'cancelled'"
BY_STATUS = "SELECT count(*) FROM orders WHERE status = 'cancelled'"
QUESTION = "How many orders were cancelled?"


def trace(shop: Shop, *earlier: str, user: str = "") -> Trace:
    turns_ = [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(earlier)]
    return Trace(
        id="req_a",
        tenant="default",
        created_at="2026-01-01T00:00:00+00:00",
        assistant="shop",
        kb="shop",
        commit=shop.head,
        session_id="ses",
        user=user,
        status="answered",
        messages=(*turns_, {"role": "user", "content": QUESTION}),  # type: ignore[arg-type]
        question=QUESTION,
        items=(),
        prompt=(),
        prompt_hash="0" * 64,
        answer=BY_STATUS,
    )


def tried(shop: Shop, *earlier: str, commit: str | None = None) -> Judged:
    return SuiteReplay().try_at(shop.core, shop.assistant, trace(shop, *earlier), BY_STATE, commit or shop.head)


def test_an_answer_is_right_that_gives_the_result_of_the_accepted_one(shop: Shop) -> None:
    shop.engine.enqueue(f"```sql\n{BY_STATE.replace('count(*)', 'count(id) AS n')}\n```")

    assert tried(shop) == Judged("right", "", engine_calls=1)


def test_an_answer_with_another_result_is_wrong_and_says_why(shop: Shop) -> None:
    shop.engine.enqueue(BY_STATUS)

    judged = tried(shop)

    assert (judged.outcome, judged.engine_calls) == ("wrong", 1)
    assert judged.detail.startswith("SINGLE_CELL_DIFFERENCE")


def test_the_question_is_put_at_the_commit_with_its_earlier_turns_and_leaves_no_trace(shop: Shop) -> None:
    before = shop.head
    shop.learn(gotcha("state", "Use orders.state.", "orders"))
    shop.engine.enqueue(BY_STATE, BY_STATE)

    tried(shop, "How many orders are there?", "SELECT count(*) FROM orders", commit=before)
    tried(shop)

    first, second = ([message["content"] for message in call.messages] for call in shop.engine.calls)
    assert first[1:] == ["How many orders are there?", "SELECT count(*) FROM orders", QUESTION]
    assert ["gotcha:state" in call[0] for call in (first, second)] == [False, True]
    with shop.core.database.connect() as connection:
        assert [connection.scalar(select(func.count()).select_from(table)) for table in (requests, turns)] == [0, 0]


def test_an_answer_that_was_given_before_costs_no_second_call(shop: Shop) -> None:
    shop.engine.enqueue(BY_STATE)

    assert [tried(shop).engine_calls for _ in range(2)] == [1, 0]


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        ((BY_STATE, BY_STATE, BY_STATE), "right"),
        ((BY_STATE, BY_STATE, BY_STATUS), "undecided"),
        ((BY_STATUS, BY_STATUS, BY_STATE), "wrong"),
    ],
)
def test_of_several_draws_all_must_be_right_or_most_be_wrong(
    open_shop: OpenShop, answers: tuple[str, ...], outcome: str
) -> None:
    shop = open_shop(repeats=3)
    shop.engine.enqueue(*answers)

    assert tried(shop).outcome == outcome


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(EngineUnreachable("main", "http://127.0.0.1:1"), "away"), (ContextTooLong("main", 400, "8192 tokens"), "wrong")],
)
def test_an_engine_that_is_away_may_be_asked_again_later(shop: Shop, error: Exception, outcome: str) -> None:
    shop.engine.enqueue(error)

    judged = tried(shop)

    assert judged.outcome == outcome
    assert str(error) in judged.detail


def test_without_an_engine_nothing_is_decided(open_shop: OpenShop) -> None:
    judged = tried(open_shop(with_engine=False))

    assert judged.outcome == "undecided"
    assert "ENGINE_MISSING" in judged.detail


@pytest.mark.parametrize(
    ("answer", "accepted", "outcome"),
    [
        (BY_STATE, BY_STATE.replace("count(*)", "count(state)"), "right"),
        (BY_STATE, BY_STATUS, "wrong"),
        ("I do not know.", BY_STATE, "wrong"),
        (BY_STATE, "SELECT nothing FROM nowhere", "undecided"),
    ],
)
def test_two_answers_are_compared_by_what_they_give(shop: Shop, answer: str, accepted: str, outcome: str) -> None:
    assert SuiteReplay().same_result(shop.assistant, answer, accepted).outcome == outcome
    assert shop.engine.calls == []


def test_a_database_that_is_away_decides_nothing_now(open_shop: OpenShop) -> None:
    shop = open_shop(datasource_url="sqlite:////nowhere/shop.sqlite")

    assert SuiteReplay().same_result(shop.assistant, BY_STATE, BY_STATE).outcome == "away"


def test_without_a_database_nothing_is_compared(shop: Shop) -> None:
    assistant = replace(shop.assistant, datasource=None)

    assert SuiteReplay().same_result(assistant, BY_STATE, BY_STATE).outcome == "undecided"
