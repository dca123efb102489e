"""Bases, branches and tags over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from kb.knowledge_base import KnowledgeBase

from .calls import code, get, post


def test_the_tenant_s_bases_are_listed(served: Any, base: KnowledgeBase) -> None:
    assert get(served, "")["data"] == [{"object": "kvasir.knowledge_base", "name": "shop"}]


@pytest.mark.parametrize(("path", "what"), [("branches", "branch"), ("tags", "tag")])
def test_a_name_is_made_listed_and_deleted(served: Any, base: KnowledgeBase, path: str, what: str) -> None:
    names = base.branches if what == "branch" else base.tags
    before = names()
    made = post(served, f"/{path}", name="july/first", at="main~1")
    target = base.resolve("main~1").id
    assert made == {"object": f"kvasir.{what}", "name": "july/first", "commit": target}
    listed = {each["name"]: each["commit"] for each in get(served, f"/shop/{path}")["data"]}
    assert listed == names() == {**before, "july/first": target}
    assert code(post(served, f"/{path}", 409, name="july/first")) == "already_exists"
    gone = served.client.delete(f"/v1/kb/shop/{path}/july/first")
    assert gone.json() == {"object": f"kvasir.{what}", "name": "july/first", "deleted": True}
    assert names() == before
    assert served.client.delete(f"/v1/kb/shop/{path}/july/first").status_code == 404


def test_main_is_not_deleted_and_a_name_that_looks_like_a_commit_is_not_made(served: Any, base: KnowledgeBase) -> None:
    refused = served.client.delete("/v1/kb/shop/branches/main")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "name")
    assert code(post(served, "/tags", 400, name="cafe")) == "knowledge_error"
    assert code(post(served, "/branches", 404, name="x", at="nowhere")) == "not_found"
