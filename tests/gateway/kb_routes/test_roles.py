"""Who may call which route of the knowledge base."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from kb.knowledge_base import KnowledgeBase

from .calls import code

READING = [
    ("GET", "/v1/kb"),
    ("GET", "/v1/kb/{base}/branches"),
    ("GET", "/v1/kb/{base}/tags"),
    ("GET", "/v1/kb/{base}/commits"),
    ("GET", "/v1/kb/{base}/commits/{revision:path}"),
    ("GET", "/v1/kb/{base}/diff"),
    ("GET", "/v1/kb/{base}/items"),
    ("GET", "/v1/kb/{base}/items/{item_id}"),
    ("GET", "/v1/kb/{base}/items/{item_id}/blame"),
    ("GET", "/v1/kb/{base}/quarantine"),
]


CURATING: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "/v1/kb/{base}/verify", None),
    ("POST", "/v1/kb/{base}/branches", {"name": "new"}),
    ("DELETE", "/v1/kb/{base}/branches/{name:path}", None),
    ("POST", "/v1/kb/{base}/tags", {"name": "new"}),
    ("DELETE", "/v1/kb/{base}/tags/{name:path}", None),
    ("POST", "/v1/kb/{base}/commits", {"message": "m", "remove": ["rule:utc"]}),
    ("POST", "/v1/kb/{base}/activate", {"items": ["rule:utc"]}),
    ("POST", "/v1/kb/{base}/retire", {"items": ["rule:utc"]}),
    ("POST", "/v1/kb/{base}/revert", {"commit": "main"}),
    ("POST", "/v1/kb/{base}/cherry-pick", {"commit": "main"}),
    ("POST", "/v1/kb/{base}/merge", {"branch": "draft"}),
]


CALLS = [(method, path, None) for method, path in READING] + CURATING


FILLED = {
    "{base}": "shop",
    "{revision:path}": "main",
    "{item_id}": "rule:utc",
    "branches/{name:path}": "branches/draft",
    "tags/{name:path}": "tags/start",
}


def filled(path: str) -> str:
    for part, value in FILLED.items():
        path = path.replace(part, value)
    return path


def call(served: Any, method: str, path: str, body: Any, tenant: str, *roles: str) -> httpx.Response:
    key = served.core.api_keys.create(tenant, "bob", roles)
    query = {"old": "main~1"} if path.endswith("/diff") else None
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.request(method, served.url + filled(path), json=body, params=query, headers=headers, timeout=60)


def test_every_route_of_the_knowledge_base_is_among_those_that_are_tested(served: Any) -> None:
    paths = served.client.get("/openapi.json").json()["paths"]
    found = {(method.upper(), path) for path, calls in paths.items() if path.startswith("/v1/kb") for method in calls}
    assert found == {(method, path.replace(":path", "")) for method, path, _ in CALLS}


def test_who_may_ask_may_read(served: Any, base: KnowledgeBase) -> None:
    for method, path in READING:
        assert call(served, method, path, None, "default", "ask").status_code == 200, path
        assert call(served, method, path, None, "default", "confirm").status_code == 403, path


@pytest.mark.parametrize(("method", "path", "body"), CURATING)
def test_only_a_curator_may_change(served: Any, base: KnowledgeBase, method: str, path: str, body: Any) -> None:
    before = base.branches(), base.tags()
    refused = call(served, method, path, body, "default", "ask", "confirm")
    assert (refused.status_code, code(refused.json())) == (403, "missing_role")
    assert (base.branches(), base.tags()) == before
    allowed = call(served, method, path, body, "default", "curate")
    # The rule is active, and what the branch has is on main: then there is nothing to change.
    assert allowed.status_code in (200, 201) or code(allowed.json()) == "nothing_to_commit"


def test_no_tenant_reaches_anothers_base(served: Any, base: KnowledgeBase) -> None:
    before = base.branches(), base.tags()
    for method, path, body in CALLS:
        answer = call(served, method, path, body, "rival", "admin")
        if path == "/v1/kb":
            assert answer.json()["data"] == []
        else:
            assert (answer.status_code, code(answer.json())) == (404, "not_found"), path
            assert "known" not in answer.text
    assert (base.branches(), base.tags()) == before


def test_with_keys_nobody_is_served_without_one(served: Any, base: KnowledgeBase) -> None:
    served.core.api_keys.create("default", "ann", ("admin",))
    before = base.branches(), base.tags()
    for method, path, body in CALLS:
        assert httpx.request(method, served.url + filled(path), json=body).status_code == 401, path
    assert (base.branches(), base.tags()) == before
