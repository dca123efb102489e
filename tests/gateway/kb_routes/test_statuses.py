"""Quarantine, retirement and activation over HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kb.items import Schema, Template
from kb.knowledge_base import KnowledgeBase

from .calls import LOST, RULE, SHORT, as_json, code, get, post


def test_a_lost_column_quarantines_and_a_person_takes_back_what_was_edited(served: Any, base: KnowledgeBase) -> None:
    lost = {"id": "template:stock", "title": "Stock", "lost": [LOST]}
    assert post(served, "/commits", message="Drop it", put=[as_json(SHORT)])["quarantined"] == [lost]
    assert get(served, "/shop/quarantine")["data"] == [lost]
    assert get(served, "/shop/quarantine", at="main~1")["data"] == []
    answer = post(served, "/activate", 409, items=["template:stock"])
    assert (code(answer), base.item("template:stock").status) == ("still_lost", "quarantined")
    edited = replace(base.item("template:stock"), body=Template("How much is there?", "SELECT count(id) FROM stock"))
    post(served, "/commits", message="Edit it", put=[as_json(edited)])
    made = post(served, "/activate", items=["template:stock"], message="Right again")
    assert (made["message"], made["lifted"]) == ("Right again", ["template:stock"])
    assert get(served, "/shop/quarantine")["data"] == []


def test_what_is_in_quarantine_is_not_retrieved_and_answers_nothing(served: Any, base: KnowledgeBase) -> None:
    question = "How many customers do we have in Germany?"
    answered = served.ask(question).json()["kvasir"]
    assert answered["verified_by"] == "success:customers_in_germany"
    customers = base.item("schema:customers")
    assert isinstance(customers.body, Schema)
    kept = tuple(column for column in customers.body.columns if column.name != "country")
    made = post(
        served,
        "/commits",
        message="Drop",
        put=[as_json(replace(customers, body=replace(customers.body, columns=kept)))],
    )
    assert {"success:customers_in_germany", "template:count_by_country"} <= {each["id"] for each in made["quarantined"]}
    served.engine.enqueue("SELECT 1")
    later = served.ask(question).json()["kvasir"]
    assert (later["commit"], later["answered_by"]) == (made["id"], "engine")
    assert {item["id"] for item in later["items"]}.isdisjoint(each["id"] for each in made["quarantined"])
    assert "country = 'DE'" not in str(served.engine.calls[-1].messages)
    post(served, "/revert", commit="main")
    assert served.ask(question).json()["kvasir"]["verified_by"] == "success:customers_in_germany"


def test_items_are_retired_and_activated(served: Any, base: KnowledgeBase) -> None:
    assert post(served, "/retire", items=["rule:utc"])["message"] == "Retire rule:utc"
    assert base.item("rule:utc").status == "retired"
    known = base.resolve().id
    post(served, "/activate", items=["rule:utc"], branch="main", onto=known)
    assert base.item("rule:utc") == RULE
    assert code(post(served, "/retire", 409, items=["rule:utc"], onto=known)) == "conflict"
    assert code(post(served, "/retire", 404, items=["rule:nothing"])) == "not_found"
    assert code(post(served, "/activate", 400, items=["rule:utc"])) == "nothing_to_commit"
    assert code(post(served, "/activate", 400, items=[])) == "invalid_body"
