"""`POST /v1/kb/{base}/merge`: conflicts as data, resolutions, and who may."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest

from kb.codec import item_to_dict
from kb.items import Item, Rule
from kb.knowledge_base import Changes, KnowledgeBase

RULE = Item("rule:utc", "Times", Rule("Times are UTC."))


def put(base: KnowledgeBase, *items: Item, branch: str = "main") -> str:
    return base.commit(Changes(items), author="ann", message="Put items", branch=branch).id


@pytest.fixture
def base(served: Any) -> KnowledgeBase:
    """A branch `draft` that changed the same field as `main`."""
    found: KnowledgeBase = served.core.base("default", "shop")
    put(found, RULE)
    found.branch("draft")
    put(found, replace(RULE, body=Rule("Times are local.")), branch="draft")
    put(found, replace(RULE, body=Rule("Times are UTC, to the second.")))
    return found


def merge(served: Any, **body: Any) -> httpx.Response:
    response: httpx.Response = served.client.post("/v1/kb/shop/merge", json={"branch": "draft", **body})
    return response


def test_conflicts_come_as_data_and_nothing_is_changed(served: Any, base: KnowledgeBase) -> None:
    branches = base.branches()
    response = merge(served)
    assert response.status_code == 409
    error = response.json()["error"]
    assert error["code"] == "merge_conflicts"
    assert (error["ours"], error["theirs"]) == (branches["main"], branches["draft"])
    assert error["conflicts"] == [
        {
            "type": "both_changed",
            "key": "rule:utc:body.text",
            "item": "rule:utc",
            "field": "body.text",
            "base": "Times are UTC.",
            "ours": "Times are UTC, to the second.",
            "theirs": "Times are local.",
        }
    ]
    assert base.branches() == branches


def test_a_second_call_brings_the_resolutions(served: Any, base: KnowledgeBase) -> None:
    ours = merge(served).json()["error"]["ours"]
    merged = merge(served, resolutions={"rule:utc:body.text": "theirs"}, onto=ours, message="Land it").json()
    assert (merged["object"], merged["outcome"]) == ("kvasir.merge", "merged")
    assert (merged["commit"]["message"], merged["commit"]["author"]) == ("Land it", "local")
    assert base.resolve().id == merged["commit"]["id"]
    assert base.item("rule:utc").body == Rule("Times are local.")
    assert merge(served).json()["outcome"] == "up-to-date"


def test_a_whole_item_may_settle_it(served: Any, base: KnowledgeBase) -> None:
    agreed = replace(RULE, title="Agreed")
    assert merge(served, resolutions={"rule:utc": item_to_dict(agreed)}).status_code == 200
    assert base.item("rule:utc") == agreed


def test_a_resolution_for_a_head_that_moved_on_is_a_conflict(served: Any, base: KnowledgeBase) -> None:
    ours = merge(served).json()["error"]["ours"]
    put(base, replace(RULE, body=Rule("Later.")))
    response = merge(served, resolutions={"rule:utc": "theirs"}, onto=ours)
    assert (response.status_code, response.json()["error"]["code"]) == (409, "conflict")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"branch": "nowhere"}, 404, "not_found"),
        ({"into": "nowhere"}, 404, "not_found"),
        ({"branch": ""}, 400, "invalid_body"),
        ({"resolutions": {"rule:other": "ours"}}, 400, "knowledge_error"),
        ({"resolutions": {"rule:utc": "mine"}}, 400, "invalid_body"),
        ({"resolutions": {"rule:utc": {"id": "rule:utc"}}}, 400, "knowledge_error"),
        ({"resolutions": {"rule:utc": {"id": "rule:b", "title": "B", "body": {"text": "b"}}}}, 400, "knowledge_error"),
        ({"branchh": "x"}, 400, "invalid_body"),
    ],
)
def test_a_mistake_is_told_and_changes_nothing(
    served: Any, base: KnowledgeBase, body: dict[str, Any], status: int, code: str
) -> None:
    branches = base.branches()
    response = merge(served, **body)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert base.branches() == branches


def test_a_base_of_another_name_is_not_found(served: Any) -> None:
    response = served.client.post("/v1/kb/nowhere/merge", json={"branch": "draft"})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(("roles", "status"), [(("ask", "confirm"), 403), (("curate",), 409)])
def test_it_takes_the_role_that_lands_proposals(
    served: Any, base: KnowledgeBase, roles: tuple[str, ...], status: int
) -> None:
    key = served.core.api_keys.create("default", "bob", roles)
    response = httpx.post(
        f"{served.url}/v1/kb/shop/merge", json={"branch": "draft"}, headers={"Authorization": f"Bearer {key}"}
    )
    assert response.status_code == status


def test_another_tenants_base_is_not_there(served: Any, base: KnowledgeBase) -> None:
    key = served.core.api_keys.create("rival", "eve", ("admin",))
    response = httpx.post(
        f"{served.url}/v1/kb/shop/merge", json={"branch": "draft"}, headers={"Authorization": f"Bearer {key}"}
    )
    assert response.status_code == 404
