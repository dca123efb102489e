"""What landed is taken back with one call, which tells which answers had used it; and who may approve what."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gateway.settings import Settings
from kb.items import Document, Item
from kb.knowledge_base import Changes

STALE = "How many orders placed in 2025 were cancelled?"
PARAPHRASE = "What is the number of orders placed in 2025 that were cancelled?"
OTHER = "Which supplier has the longest lead time?"
OTHER_SQL = "SELECT name FROM suppliers ORDER BY lead_time_days DESC LIMIT 1"


@pytest.fixture(params=["sqlite", "postgresql"])
def on_each_database(
    request: pytest.FixtureRequest, serve: Callable[..., Any], make_settings: Callable[..., Settings]
) -> Any:
    if request.param == "sqlite":
        return serve()
    return serve(make_settings(state_url=request.getfixturevalue("fresh_postgres")))


def landed(served: Any) -> dict[str, Any]:
    """A correction of the stale answer that landed, with its gotcha."""
    first = served.ask(STALE).json()
    wrong = first["choices"][0]["message"]["content"]
    right = wrong.replace("o.status", "o.state")
    served.engine.enqueue(right, wrong)
    response = served.confirm(first["kvasir"]["request_id"], verdict="failure", answer=right)
    ended: dict[str, Any] = served.ended(response.json()["id"])
    assert ended["state"] == "landed"
    return ended


def revert(served: Any, proposal: dict[str, Any]) -> Any:
    return served.client.post(f"/v1/proposals/{proposal['id']}/revert")


def test_a_landed_proposal_is_taken_back_and_what_it_retired_answers_again(on_each_database: Any) -> None:
    served = on_each_database
    base = served.core.base("default", "shop")
    before = base.snapshot()
    proposal = landed(served)
    response = revert(served, proposal)
    assert response.status_code == 200
    reverted = response.json()
    assert reverted["state"] == "reverted"
    assert base.snapshot().hashes == before.hashes
    assert base.resolve().id == reverted["reverted_by"]
    assert base.resolve().evidence["reverts"] == proposal["commit"]
    assert served.ask(STALE).json()["kvasir"]["verified_by"] == "success:orders_cancelled_2025"
    assert served.client.get("/v1/proposals", params={"state": "reverted"}).json()["data"][0]["id"] == proposal["id"]


def test_a_revert_tells_which_answers_had_used_it(on_each_database: Any) -> None:
    served = on_each_database
    served.ask(STALE)
    proposal = landed(served)
    used = served.ask(PARAPHRASE).json()
    follow = [
        {"role": "user", "content": PARAPHRASE},
        {"role": "assistant", "content": used["choices"][0]["message"]["content"]},
        {"role": "user", "content": OTHER},
    ]
    served.engine.enqueue(OTHER_SQL)
    carried_on = served.ask(follow).json()
    served.engine.enqueue(OTHER_SQL)
    served.ask(OTHER)
    listed = revert(served, proposal).json()["used_by"]
    assert [use["request_id"] for use in listed] == [used["kvasir"]["request_id"], carried_on["kvasir"]["request_id"]]
    assert (listed[0]["question"], listed[0]["answered_by"]) == (PARAPHRASE, "verified")
    assert proposal["updated_at"] <= listed[0]["created_at"] <= listed[1]["created_at"]


def test_a_revert_done_again_changes_nothing_and_tells_the_same(served: Any) -> None:
    proposal = landed(served)
    served.ask(PARAPHRASE)
    first = revert(served, proposal).json()
    head = served.core.base("default", "shop").resolve().id
    again = revert(served, proposal).json()
    assert again == first
    assert served.core.base("default", "shop").resolve().id == head


def test_reverts_at_once_are_one_commit(on_each_database: Any) -> None:
    served = on_each_database
    proposal = landed(served)
    with ThreadPoolExecutor(6) as pool:
        responses = [call.result() for call in [pool.submit(revert, served, proposal) for _ in range(6)]]
    assert {response.status_code for response in responses} == {200}
    assert len({response.json()["reverted_by"] for response in responses}) == 1
    log = served.core.base("default", "shop").log()
    assert [commit.evidence.get("reverts") for commit in log].count(proposal["commit"]) == 1


def test_what_was_changed_since_it_landed_is_retired_and_the_rest_of_the_branch_stays(served: Any) -> None:
    proposal = landed(served)
    base = served.core.base("default", "shop")
    (gotcha,) = (item for item in base.snapshot().items.values() if item.status == "proposed")
    note = Item("document:note", "A note", Document("Of something else."))
    base.commit(Changes(put=(gotcha.with_status("active"), note)), author="cy", message="Activate it")
    assert revert(served, proposal).json()["state"] == "reverted"
    items = base.snapshot().items
    assert items[gotcha.id].status == "retired"
    assert items["document:note"] == note
    assert items["success:orders_cancelled_2025"].status == "active"


def test_an_item_that_somebody_took_back_into_use_is_left_as_it_is(served: Any) -> None:
    proposal = landed(served)
    base = served.core.base("default", "shop")
    mine = base.item("success:orders_cancelled_2025").with_status("quarantined")
    base.commit(Changes(put=(mine,)), author="cy", message="Look at it later")
    assert revert(served, proposal).json()["state"] == "reverted"
    assert base.item("success:orders_cancelled_2025").status == "quarantined"


def test_after_a_revert_another_correction_may_follow(served: Any) -> None:
    proposal = landed(served)
    revert(served, proposal)
    first = served.core.traces.get("default", proposal["request_id"])
    other = first.answer.replace("o.status = 'cancelled'", "o.state IN ('cancelled', 'returned')")
    served.engine.enqueue(*[other] * 4)
    response = served.confirm(proposal["request_id"], verdict="failure", answer=other)
    assert response.status_code == 202
    assert served.ended(response.json()["id"])["state"] == "landed"


def test_what_did_not_land_cannot_be_reverted_and_what_was_cannot_be_approved(serve: Callable[..., Any]) -> None:
    served = serve(approval="curator")
    first = served.ask(STALE).json()
    wrong = first["choices"][0]["message"]["content"]
    right = wrong.replace("o.status", "o.state")
    served.engine.enqueue(right, wrong)
    response = served.confirm(first["kvasir"]["request_id"], verdict="failure", answer=right)
    waiting = served.ended(response.json()["id"])
    refused = revert(served, waiting)
    assert refused.status_code == 409
    assert refused.json()["error"]["code"] == "proposal_not_landed"
    assert served.client.post(f"/v1/proposals/{waiting['id']}/approve").json()["state"] == "landed"
    assert revert(served, waiting).json()["state"] == "reverted"
    for what in ("approve", "reject"):
        assert served.client.post(f"/v1/proposals/{waiting['id']}/{what}").status_code == 409
    assert served.client.post("/v1/proposals/prop_nothing/revert").status_code == 404


def test_a_second_person_approves_where_the_assistant_wants_one(serve: Callable[..., Any]) -> None:
    served = serve(approval="second", engine=None)
    keys = served.core.api_keys
    ada = keys.create("default", "ada", ("ask", "confirm", "curate"))
    cy = keys.create("default", "cy", ("curate",))
    served.client.headers["Authorization"] = f"Bearer {ada}"
    first = served.ask(STALE).json()
    right = first["choices"][0]["message"]["content"].replace("o.status", "o.state")
    waiting = served.ended(served.confirm(first["kvasir"]["request_id"], verdict="failure", answer=right).json()["id"])
    assert (waiting["state"], waiting["detail"]) == ("waiting", "its replay is clean; a second person approves")
    url = f"/v1/proposals/{waiting['id']}/approve"
    own = served.client.post(url)
    assert own.status_code == 403
    assert own.json()["error"]["code"] == "second_person_needed"
    assert "confirmed by 'ada'" in own.json()["error"]["message"]
    assert served.client.get(f"/v1/proposals/{waiting['id']}").json() == waiting
    assert served.client.post(url, headers={"Authorization": f"Bearer {cy}"}).json()["state"] == "landed"


def test_who_confirmed_may_still_close_it(serve: Callable[..., Any]) -> None:
    served = serve(approval="second", engine=None)
    first = served.ask(STALE).json()
    right = first["choices"][0]["message"]["content"].replace("o.status", "o.state")
    waiting = served.ended(served.confirm(first["kvasir"]["request_id"], verdict="failure", answer=right).json()["id"])
    assert served.client.post(f"/v1/proposals/{waiting['id']}/reject").json()["state"] == "rejected"
