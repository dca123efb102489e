"""What a correction is turned into, over real HTTP: rules that are proved, contradictions that are shown."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from backend.errors import EngineUnreachable
from gateway.counted import counted
from kb.items import Item, Success

STALE = "How many orders placed in 2025 were cancelled?"
LATE = "Which supplier has the longest lead time?"
LATE_SQL = "SELECT name FROM suppliers ORDER BY lead_time_days DESC LIMIT 1"
GERMANS = "How many customers do we have in Germany?"
GERMANS_WRONG = "SELECT count(*) FROM customers WHERE country = 'DE'"


def steps(proposal: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {step["name"]: (step["outcome"], step["detail"]) for step in proposal["steps"]}


def proposed_gotchas(served: Any) -> list[Item]:
    items = served.core.base("default", "shop").snapshot().items.values()
    return [item for item in items if item.kind == "gotcha" and item.status == "proposed"]


def rejected(served: Any, *answers: str | Exception) -> dict[str, Any]:
    """The proposal of the stale answer's correction, with what the engine answers to its trials."""
    first = served.ask(STALE).json()
    right = first["choices"][0]["message"]["content"].replace("o.status", "o.state")
    scripted = {"right": right, "wrong": first["choices"][0]["message"]["content"]}
    served.engine.enqueue(*(scripted[answer] if isinstance(answer, str) else answer for answer in answers))
    response = served.confirm(first["kvasir"]["request_id"], verdict="failure", answer=right)
    ended: dict[str, Any] = served.ended(response.json()["id"])
    return ended


def test_a_gotcha_that_mends_the_answer_by_itself_lands_beside_the_success_as_proposed(served: Any) -> None:
    proposal = rejected(served, "right", "wrong")
    assert steps(proposal)["generality"] == ("ok", "orders.state, not orders.status")
    outcome, detail = steps(proposal)["prove"]
    assert outcome == "ok"
    assert detail.endswith("(orders.state, not orders.status) turns the answer right; 2 engine calls")
    (gotcha,) = proposed_gotchas(served)
    assert gotcha.title == "orders.state, not orders.status"
    with_it, without_it = (call.messages[0]["content"] for call in served.engine.calls)
    assert "Use orders.state, not orders.status." in with_it
    assert "Use orders.state" not in without_it
    # Neither the answer that was rejected nor the corrected one stands beside it.
    assert f"Question: {STALE}" not in with_it


@pytest.mark.parametrize(
    ("answers", "why"), [(("wrong",), "the answer is not right"), (("right", "right"), "the answer is right without")]
)
def test_a_gotcha_that_does_not_turn_the_answer_is_left_out_and_told(
    served: Any, answers: tuple[str, ...], why: str
) -> None:
    proposal = rejected(served, *answers)
    outcome, detail = steps(proposal)["prove"]
    assert (proposal["state"], outcome) == ("landed", "skipped")
    assert why in detail
    assert detail.endswith(f"; {counted(len(answers), 'engine call')}")
    assert proposed_gotchas(served) == []


def test_without_an_engine_a_gotcha_is_not_proved_and_the_success_still_lands(serve: Callable[..., Any]) -> None:
    served = serve(engine=None)
    proposal = rejected(served)
    assert proposal["state"] == "landed"
    assert steps(proposal)["prove"][0] == "skipped"
    assert "has no engine" in steps(proposal)["prove"][1]
    assert proposed_gotchas(served) == []


def test_trials_leave_nothing_in_the_history_of_the_branch(served: Any) -> None:
    proposal = rejected(served, "right", "wrong")
    base = served.core.base("default", "shop")
    assert [commit.id for commit in base.log(limit=2)] == [proposal["commit"], proposal["report"]["base"]]
    until = time.monotonic() + 10.0
    while len(base.branches()) > 1 and time.monotonic() < until:
        time.sleep(0.01)  # the work branch goes once the proposal is stored as ended
    assert set(base.branches()) == {"main"}


def test_a_proof_whose_engine_is_away_is_tried_again_later(served: Any) -> None:
    first = served.ask(STALE).json()
    right = first["choices"][0]["message"]["content"].replace("o.status", "o.state")
    served.engine.enqueue(EngineUnreachable("main", "http://127.0.0.1:1"), right)
    served.engine.enqueue(first["choices"][0]["message"]["content"])
    response = served.confirm(first["kvasir"]["request_id"], verdict="failure", answer=right)
    proposal = served.ended(response.json()["id"])
    assert (proposal["state"], proposal["attempts"]) == ("landed", 2)
    assert steps(proposal)["prove"][0] == "ok"


def test_a_proof_whose_engine_stays_away_is_given_up_and_the_success_lands_without_it(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.teaching.MAX_ATTEMPTS", 1)
    served = serve()
    proposal = rejected(served, EngineUnreachable("main", "http://127.0.0.1:1"))
    assert (proposal["state"], steps(proposal)["prove"][0]) == ("landed", "skipped")
    assert "nothing answers at" in steps(proposal)["prove"][1]


def test_a_correction_without_a_rule_needs_no_proof(served: Any) -> None:
    served.engine.enqueue(LATE_SQL)
    request = served.ask(LATE).json()["kvasir"]["request_id"]
    served.engine.enqueue(LATE_SQL)  # the replay asks how it did before
    response = served.confirm(request, verdict="failure", answer=LATE_SQL.replace("1", "2"))
    proposal = served.ended(response.json()["id"])
    assert steps(proposal)["generality"] == ("ok", "there is no rule in it")
    assert "prove" not in steps(proposal)


def test_what_only_the_question_says_is_told_to_be_left_out(serve: Callable[..., Any]) -> None:
    served = serve(verified_answers=False, approval="curator")
    question = "How many web orders are there?"
    served.engine.enqueue("SELECT count(*) FROM orders")
    request = served.ask(question).json()["kvasir"]["request_id"]
    served.engine.enqueue(*["SELECT count(*) FROM orders"] * 20)
    response = served.confirm(request, verdict="failure", answer="SELECT count(*) FROM orders WHERE channel = 'web'")
    proposal = served.ended(response.json()["id"])
    assert steps(proposal)["generality"] == ("ok", "left out: the question says 'web'")
    assert proposed_gotchas(served) == []


def contradicting(serve: Callable[..., Any]) -> tuple[Any, dict[str, Any]]:
    """Somebody confirms another answer to a question that has a confirmed one."""
    served = serve(verified_answers=False)
    served.engine.enqueue(GERMANS_WRONG)
    request = served.ask(GERMANS).json()["kvasir"]["request_id"]
    served.engine.enqueue(*[GERMANS_WRONG] * 20)
    return served, served.ended(served.confirm(request, verdict="success").json()["id"])


def test_a_contradiction_waits_and_shows_both_statements_with_what_they_give(serve: Callable[..., Any]) -> None:
    served, proposal = contradicting(serve)
    assert proposal["state"] == "waiting"
    (conflict,) = proposal["conflicts"]
    assert (conflict["item"], conflict["question"]) == ("success:customers_in_germany", GERMANS)
    assert "deleted_at IS NULL" in conflict["confirmed"]["answer"]
    assert conflict["proposed"]["answer"] == GERMANS_WRONG
    rows = [conflict[side]["result"]["rows"] for side in ("confirmed", "proposed")]
    assert rows == [[[1277]], [[1385]]]
    assert served.client.get("/v1/proposals").json()["data"][0]["conflicts"] == proposal["conflicts"]


def test_the_same_answer_in_other_words_lands_by_itself_and_supersedes(serve: Callable[..., Any]) -> None:
    served = serve(verified_answers=False)
    same = "SELECT count(*) AS n FROM customers AS c WHERE c.is_test = 0 AND c.deleted_at IS NULL AND c.country = 'DE'"
    served.engine.enqueue(same)
    request = served.ask(GERMANS).json()["kvasir"]["request_id"]
    served.engine.enqueue(*[same] * 20)
    proposal = served.ended(served.confirm(request, verdict="success").json()["id"])
    assert (proposal["state"], proposal["conflicts"]) == ("landed", [])
    assert "stands for success:customers_in_germany" in steps(proposal)["compare"][1]
    base = served.core.base("default", "shop")
    assert base.item("success:customers_in_germany").status == "retired"
    (new,) = (item for item in base.snapshot().items.values() if "success:customers_in_germany" in item.supersedes)
    assert isinstance(new.body, Success)


def test_a_gotcha_that_was_activated_is_what_the_next_question_reads(served: Any) -> None:
    rejected(served, "right", "wrong")
    (gotcha,) = proposed_gotchas(served)
    response = served.client.post("/v1/kb/shop/activate", json={"items": [gotcha.id]})
    assert response.is_success
    served.engine.enqueue("SELECT count(*) FROM orders WHERE state = 'returned'")
    answer = served.ask("How many orders came back in 2024, by their status?").json()
    assert gotcha.id in {item["id"] for item in answer["kvasir"]["items"]}
