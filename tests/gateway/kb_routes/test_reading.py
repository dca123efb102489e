"""Logs, commits, items, diffs, blame and verification over HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kb.knowledge_base import KnowledgeBase
from kb.store import RefMove

from .calls import RULE, as_json, code, get, put


def test_the_log_is_of_the_base_or_of_one_item(served: Any, base: KnowledgeBase) -> None:
    assert [each["id"] for each in get(served, "/shop/commits")["data"]] == [commit.id for commit in base.log()]
    [newest] = get(served, "/shop/commits", limit=1)["data"]
    assert (newest["message"], newest["author"], newest["parents"]) == ("Put items", "ann", [base.resolve("main~1").id])
    of_item = get(served, "/shop/commits", item="rule:utc", at="draft")["data"]
    assert [each["id"] for each in of_item] == [base.resolve("draft").id]
    assert code(get(served, "/shop/commits", 400, limit=0)) == "invalid_body"


@pytest.mark.parametrize("revision", ["main", "main~1", "main^", "start"])
def test_a_commit_is_read_by_any_revision_with_what_it_changed(served: Any, base: KnowledgeBase, revision: str) -> None:
    found = get(served, f"/shop/commits/{revision}")
    commit = base.resolve(revision)
    assert found["id"] == commit.id
    assert get(served, f"/shop/commits/{commit.short_id}") == found
    assert commit.parent is not None
    changed = [change.id for change in base.diff(commit.parent, commit.id).changes]
    assert [change["id"] for change in found["changes"]] == changed


def test_the_first_commit_changed_nothing_and_a_branch_s_name_may_hold_a_slash(
    served: Any, base: KnowledgeBase
) -> None:
    first = base.log()[-1]
    assert get(served, f"/shop/commits/{first.id}")["changes"] == []
    base.branch("people/ada", at=first.id)
    assert get(served, "/shop/commits/people/ada")["id"] == first.id


def test_an_item_is_read_at_any_commit(served: Any, base: KnowledgeBase) -> None:
    put(base, replace(RULE, title="Later"))
    assert get(served, "/shop/items/rule:utc")["title"] == "Later"
    assert get(served, "/shop/items/rule:utc", at="draft") == as_json(RULE)
    assert code(get(served, "/shop/items/rule:utc", 404, at="start")) == "not_found"


def test_items_are_listed_by_kind_and_status_page_by_page(served: Any, base: KnowledgeBase) -> None:
    put(base, *(replace(RULE, id=f"rule:z{number}", status="proposed") for number in range(3)))
    everything = [each["id"] for each in get(served, "/shop/items")["data"]]
    assert everything == sorted(base.snapshot().items)
    assert len(get(served, "/shop/items", at="start")["data"]) < len(everything)
    proposed = {"status": "proposed", "kind": "rule", "limit": 2}
    first = get(served, "/shop/items", **proposed)["data"]
    assert first[0] == {"id": "rule:z0", "kind": "rule", "status": "proposed", "title": "Times"}
    rest = get(served, "/shop/items", after=first[-1]["id"], **proposed)["data"]
    assert [each["id"] for each in first + rest] == ["rule:z0", "rule:z1", "rule:z2"]
    assert get(served, "/shop/items", status="retired")["data"] == []
    assert code(get(served, "/shop/items", 400, kind="table")) == "invalid_body"


def test_a_diff_tells_each_field(served: Any, base: KnowledgeBase) -> None:
    put(base, replace(RULE, title="Later"))
    found = get(served, "/shop/diff", old="main~1")
    [change] = found["changes"]
    assert (change["id"], change["change"]) == ("rule:utc", "changed")
    assert change["fields"] == [{"field": "title", "old": "Times", "new": "Later"}]
    assert (found["old"], found["new"]) == (base.resolve("main~1").id, base.resolve().id)
    assert get(served, "/shop/diff", old="main", new="main")["changes"] == []
    assert code(get(served, "/shop/diff", 400)) == "invalid_body"


def test_blame_names_commit_author_and_person(served: Any, base: KnowledgeBase) -> None:
    put(base, replace(RULE, title="Later"))
    fields = {each["field"]: each for each in get(served, "/shop/items/rule:utc/blame")["data"]}
    assert fields["title"]["commit"] == base.resolve().id
    assert fields["body.text"]["commit"] == base.resolve("draft").id
    missing = get(served, "/shop/items/success:customers_in_germany/blame", 404, field="question")
    assert "no field 'question'" in missing["error"]["message"]
    [answer] = get(served, "/shop/items/success:customers_in_germany/blame", field="body.answer")["data"]
    assert (answer["confirmed_by"], answer["replay"]) == ("ada", None)


def test_verify_names_what_is_broken(served: Any, base: KnowledgeBase) -> None:
    whole = get(served, "/shop/verify")
    assert (whole["object"], whole["clean"], whole["problems"]) == ("kvasir.verification", True, [])
    base.store.write(base.id, {}, [RefMove("heads/lost", None, "0" * 64)])
    broken = get(served, "/shop/verify")
    assert not broken["clean"]
    assert [problem["dangling_ref"] for problem in broken["problems"]] == [True]
