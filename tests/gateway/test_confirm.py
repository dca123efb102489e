"""From a verdict to a landed commit, over real HTTP."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from backend.errors import EngineUnreachable
from gateway.settings import Settings
from kb.items import Document, Item
from kb.knowledge_base import Changes

STALE = "How many orders placed in 2025 were cancelled?"
PARAPHRASE = "What is the number of orders placed in 2025 that were cancelled?"
UNCOVERED = "Which supplier has the longest lead time?"
LEAD_TIME = "SELECT name FROM suppliers ORDER BY lead_time_days DESC LIMIT 1"


def corrected(answer: dict[str, Any]) -> str:
    text: str = answer["choices"][0]["message"]["content"]
    return text.replace("o.status", "o.state")


def corrects(served: Any, first: dict[str, Any], *, proved: bool = True) -> str:
    """The corrected answer, with an engine that gives it where the gotcha is in its context and only there."""
    right = corrected(first)
    wrong = first["choices"][0]["message"]["content"]
    served.engine.enqueue(*((right, wrong) if proved else (wrong,)))
    return right


@pytest.fixture(params=["sqlite", "postgresql"])
def on_each_database(
    request: pytest.FixtureRequest, serve: Callable[..., Any], make_settings: Callable[..., Settings]
) -> Any:
    if request.param == "sqlite":
        return serve()
    return serve(make_settings(state_url=request.getfixturevalue("fresh_postgres")))


def test_a_corrected_answer_lands_and_answers_the_paraphrase(on_each_database: Any) -> None:
    served = on_each_database
    first = served.ask(STALE).json()
    assert first["kvasir"]["verification"]["rows"] == [[170]]
    response = served.confirm(first["kvasir"]["request_id"], verdict="failure", answer=corrects(served, first))
    assert response.status_code == 202
    proposal = served.ended(response.json()["id"])
    assert proposal["state"] == "landed"
    steps = ["check", "generality", "compare", "prove", "commit", "replay", "land"]
    assert [step["name"] for step in proposal["steps"]] == steps
    assert "better" in {case["verdict"] for case in proposal["report"]["cases"]}
    again = served.ask(PARAPHRASE).json()["kvasir"]
    assert again["answered_by"] == "verified"
    assert again["verification"]["rows"] == [[290]]
    assert again["commit"] == proposal["commit"]


def test_the_superseded_success_is_retired_not_deleted(served: Any) -> None:
    first = served.ask(STALE).json()
    proposal = served.ended(
        served.confirm(first["kvasir"]["request_id"], verdict="failure", answer=corrects(served, first)).json()["id"]
    )
    base = served.core.base("default", "shop")
    old = base.item("success:orders_cancelled_2025", proposal["commit"])
    assert old.status == "retired"
    assert base.item("success:orders_cancelled_2025", f"{proposal['commit']}~1").status == "active"
    gotchas = [item for item in base.snapshot().items.values() if item.status == "proposed"]
    assert [gotcha.title for gotcha in gotchas] == ["orders.state, not orders.status"]


def test_a_confirmed_answer_of_the_engine_becomes_a_success(served: Any) -> None:
    served.engine.enqueue(LEAD_TIME)
    request_id = served.ask(UNCOVERED).json()["kvasir"]["request_id"]
    served.engine.enqueue(LEAD_TIME)  # the replay asks it how it does without the new success
    proposal = served.confirm(request_id, verdict="success").json()
    assert served.ended(proposal["id"])["state"] == "landed"
    calls = len(served.engine.calls)
    again = served.ask("What supplier has the longest lead time?").json()
    assert again["kvasir"]["answered_by"] == "verified"
    assert again["choices"][0]["message"]["content"] == LEAD_TIME
    assert len(served.engine.calls) == calls


def test_what_a_replay_could_not_judge_is_named_with_its_reason(served: Any) -> None:
    served.engine.enqueue(LEAD_TIME)
    request_id = served.ask(UNCOVERED).json()["kvasir"]["request_id"]
    served.engine.enqueue(*[EngineUnreachable("main", "http://127.0.0.1:9/v1")] * 4)
    proposal = served.ended(served.confirm(request_id, verdict="success").json()["id"])
    assert proposal["state"] == "waiting"
    assert "the replay could not judge" in proposal["detail"]
    assert "http://127.0.0.1:9" in proposal["detail"]
    assert "undecided: " in (told := next(one for one in proposal["steps"] if one["name"] == "replay")["detail"])
    assert "1 undecided" in told


def test_confirming_twice_gives_the_same_proposal(served: Any) -> None:
    served.engine.enqueue(LEAD_TIME)
    request_id = served.ask(UNCOVERED).json()["kvasir"]["request_id"]
    served.engine.enqueue(LEAD_TIME)
    first = served.confirm(request_id, verdict="success").json()
    second = served.confirm(request_id, verdict="success")
    assert second.status_code == 202
    assert second.json()["id"] == first["id"]
    assert len(served.client.get("/v1/proposals").json()["data"]) == 1


def test_a_contradicting_verdict_is_a_409_and_changes_nothing(served: Any) -> None:
    served.engine.enqueue(LEAD_TIME)
    request_id = served.ask(UNCOVERED).json()["kvasir"]["request_id"]
    served.engine.enqueue(LEAD_TIME)
    proposal = served.ended(served.confirm(request_id, verdict="success").json()["id"])
    response = served.confirm(request_id, verdict="failure", answer="SELECT 1")
    assert response.status_code == 409
    assert response.json()["error"]["code"] == "contradicting_verdict"
    assert served.client.get(f"/v1/proposals/{proposal['id']}").json() == proposal


def test_a_failure_without_a_correction_teaches_nothing(served: Any) -> None:
    served.engine.enqueue(LEAD_TIME)
    request_id = served.ask(UNCOVERED).json()["kvasir"]["request_id"]
    response = served.confirm(request_id, verdict="failure", note="not what I meant")
    assert response.status_code == 202
    assert response.json()["state"] == "logged"
    assert served.client.get("/v1/proposals").json()["data"] == []
    served.engine.enqueue(LEAD_TIME)
    later = served.confirm(request_id, verdict="failure", answer=LEAD_TIME.replace("DESC", "ASC"))
    assert served.ended(later.json()["id"])["state"] == "landed"


def test_a_correction_that_does_not_run_never_lands(served: Any) -> None:
    served.engine.enqueue(LEAD_TIME)
    request_id = served.ask(UNCOVERED).json()["kvasir"]["request_id"]
    head = served.core.base("default", "shop").resolve().id
    response = served.confirm(request_id, verdict="failure", answer="SELECT lead_time FROM suppliers")
    proposal = served.ended(response.json()["id"])
    assert proposal["state"] == "failed"
    assert "lead_time_days" in proposal["detail"]
    assert served.core.base("default", "shop").resolve().id == head


def test_a_correction_that_writes_never_lands(served: Any) -> None:
    served.engine.enqueue(LEAD_TIME)
    request_id = served.ask(UNCOVERED).json()["kvasir"]["request_id"]
    proposal = served.confirm(request_id, verdict="failure", answer="DELETE FROM suppliers").json()
    assert served.ended(proposal["id"])["state"] == "failed"


def test_an_unseen_contradiction_waits_for_a_person(serve: Callable[..., Any]) -> None:
    served = serve(verified_answers=False)
    question = "How many customers do we have in Germany?"
    served.engine.enqueue("SELECT count(*) FROM customers WHERE country = 'DE'")
    request_id = served.ask(question).json()["kvasir"]["request_id"]
    # The replay asks the engine about the cases whose prompt the new success changes.
    served.engine.enqueue(*["SELECT count(*) FROM customers WHERE country = 'DE'"] * 20)
    proposal = served.ended(served.confirm(request_id, verdict="success").json()["id"])
    assert proposal["state"] == "waiting"
    assert served.core.base("default", "shop").item("success:customers_in_germany").status == "active"


def test_an_answer_that_does_not_read_a_column_of_its_question_waits_and_says_which(served: Any) -> None:
    # The replay asks the engine about the cases whose prompt the new success changes.
    served.engine.enqueue(*["SELECT state, count(*) FROM orders GROUP BY state"] * 20)
    request_id = served.ask("How many orders are there for each channel?").json()["kvasir"]["request_id"]
    proposal = served.ended(served.confirm(request_id, verdict="success").json()["id"])
    assert proposal["state"] == "waiting"
    why = "its statement does not read orders.channel, which the question names; a curator decides"
    assert proposal["detail"] == why
    assert served.client.post(f"/v1/proposals/{proposal['id']}/approve").json()["state"] == "landed"


def test_a_curator_approves_what_waits(serve: Callable[..., Any]) -> None:
    served = serve(approval="curator")
    first = served.ask(STALE).json()
    response = served.confirm(first["kvasir"]["request_id"], verdict="failure", answer=corrects(served, first))
    waiting = served.ended(response.json()["id"])
    assert waiting["state"] == "waiting"
    assert waiting["report"]["verdict"] == "clean"
    landed = served.client.post(f"/v1/proposals/{waiting['id']}/approve").json()
    assert landed["state"] == "landed"
    assert served.core.base("default", "shop").resolve().id == landed["commit"]
    assert served.client.post(f"/v1/proposals/{waiting['id']}/approve").status_code == 200
    rejected = served.client.post(f"/v1/proposals/{waiting['id']}/reject")
    assert rejected.status_code == 409


def test_a_curator_rejects_what_waits(serve: Callable[..., Any]) -> None:
    served = serve(approval="curator")
    first = served.ask(STALE).json()
    response = served.confirm(first["kvasir"]["request_id"], verdict="failure", answer=corrects(served, first))
    waiting = served.ended(response.json()["id"])
    head = served.core.base("default", "shop").resolve().id
    assert served.client.post(f"/v1/proposals/{waiting['id']}/reject").json()["state"] == "rejected"
    assert served.client.post(f"/v1/proposals/{waiting['id']}/approve").status_code == 409
    assert served.core.base("default", "shop").resolve().id == head


def test_a_branch_that_moved_is_replayed_before_an_approval_lands(serve: Callable[..., Any]) -> None:
    served = serve(approval="curator")
    first = served.ask(STALE).json()
    waiting = served.ended(
        served.confirm(first["kvasir"]["request_id"], verdict="failure", answer=corrects(served, first)).json()["id"]
    )
    note = Item("document:note", "A note", Document("Nothing about orders."))
    served.core.base("default", "shop").commit(Changes(put=(note,)), author="someone", message="Move the branch")
    corrects(served, first)  # the prompts of the trials may show the note
    answer = served.client.post(f"/v1/proposals/{waiting['id']}/approve").json()
    assert answer["state"] == "queued"
    again = served.ended(waiting["id"])
    assert again["report"]["base"] != waiting["report"]["base"]


@pytest.mark.parametrize(
    "body",
    [{}, {"verdict": "maybe"}, {"verdict": "success", "answr": "x"}, {"verdict": "failure", "answer": "  "}],
)
def test_a_malformed_verdict_is_a_400(served: Any, body: dict[str, str]) -> None:
    served.engine.enqueue(LEAD_TIME)
    request_id = served.ask(UNCOVERED).json()["kvasir"]["request_id"]
    assert served.confirm(request_id, **body).status_code == 400


def test_an_unknown_request_is_a_404(served: Any) -> None:
    assert served.confirm("req_nothing", verdict="success").status_code == 404
    assert served.client.get("/v1/requests/req_nothing").json()["error"]["code"] == "request_not_found"
    assert served.client.get("/v1/proposals/prop_nothing").status_code == 404


def test_an_engine_error_cannot_be_confirmed(serve: Callable[..., Any]) -> None:
    served = serve(engine=None)
    request_id = served.ask(UNCOVERED).headers["x-kvasir-request-id"]
    response = served.confirm(request_id, verdict="success")
    assert response.status_code == 400
    assert "no answer to confirm" in response.json()["error"]["message"]


def test_corrections_that_come_at_once_make_one_proposal(on_each_database: Any) -> None:
    served = on_each_database
    first = served.ask(STALE).json()
    request_id, right = first["kvasir"]["request_id"], corrects(served, first)
    assert served.confirm(request_id, verdict="failure").status_code == 202
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(served.confirm, request_id, verdict="failure", answer=right) for _ in range(8)]
    responses = [call.result() for call in calls]
    assert {response.status_code for response in responses} == {202}
    assert len({response.json()["id"] for response in responses}) == 1
    assert len(served.client.get("/v1/proposals").json()["data"]) == 1


@pytest.mark.parametrize("odd", ["SELECT '\0'", "SELECT '\ud800'"])
def test_an_answer_that_no_database_can_hold_is_stored_without_it(on_each_database: Any, odd: str) -> None:
    served = on_each_database
    served.engine.enqueue(odd)
    response = served.ask(UNCOVERED)
    assert response.status_code == 200
    trace = served.client.get(f"/v1/requests/{response.json()['kvasir']['request_id']}").json()
    assert trace["answer"] == response.json()["choices"][0]["message"]["content"] != odd


def test_a_rejection_that_comes_too_late_is_told_so_and_undoes_nothing(serve: Callable[..., Any]) -> None:
    served = serve(approval="curator")
    first = served.ask(STALE).json()
    waiting = served.ended(
        served.confirm(first["kvasir"]["request_id"], verdict="failure", answer=corrects(served, first)).json()["id"]
    )
    with ThreadPoolExecutor(2) as pool:
        calls = [
            pool.submit(served.client.post, f"/v1/proposals/{waiting['id']}/{what}") for what in ("approve", "reject")
        ]
    statuses = sorted(call.result().status_code for call in calls)
    assert statuses == [200, 409]
    ended = served.client.get(f"/v1/proposals/{waiting['id']}").json()
    base = served.core.base("default", "shop")
    assert (ended["state"] == "landed") == base.is_ancestor(waiting["commit"], "main")
    assert f"proposals/{waiting['id']}" not in base.branches()


def test_a_typo_in_a_correction_can_be_mended(served: Any) -> None:
    first = served.ask(STALE).json()
    request_id = first["kvasir"]["request_id"]
    typo = served.ended(served.confirm(request_id, verdict="failure", answer="SELEC count(*)").json()["id"])
    assert typo["state"] == "failed"
    mended = served.confirm(request_id, verdict="failure", answer=corrects(served, first))
    assert served.ended(mended.json()["id"])["state"] == "landed"
