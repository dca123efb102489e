"""Commits, reverts, cherry-picks and merges over HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kb.items import Item, Metric, Rule
from kb.knowledge_base import KnowledgeBase

from .calls import COUNT, LOST, RULE, SHORT, as_json, code, post, put


def test_items_are_committed_by_the_caller(served: Any, base: KnowledgeBase) -> None:
    made = post(
        served,
        "/commits",
        message="Say it twice",
        put=[as_json(replace(RULE, id="rule:new")), {"id": "rule:short", "title": "S", "body": {"text": "s"}}],
        remove=["rule:utc"],
    )
    assert made["id"] == base.resolve().id
    assert (made["object"], made["author"], made["message"]) == ("kvasir.commit", "local", "Say it twice")
    assert (made["quarantined"], made["lifted"], made["warnings"]) == ([], [], [])
    items = base.snapshot().items
    assert (items["rule:new"].title, items["rule:short"].body) == ("Times", Rule("s"))
    assert "rule:utc" not in items
    on_draft = post(served, "/commits", message="There", put=[as_json(COUNT)], branch="draft")
    assert base.resolve("draft").id == on_draft["id"]


def test_a_commit_for_a_head_that_moved_on_is_rebased_or_a_conflict(served: Any, base: KnowledgeBase) -> None:
    known = base.resolve().id
    put(base, replace(RULE, title="Theirs"))
    other = as_json(replace(RULE, id="rule:other"))
    assert post(served, "/commits", message="Other", put=[other], onto=known[:12])["parents"] == [
        base.resolve("main~1").id
    ]
    answer = post(served, "/commits", 409, message="Same", put=[as_json(RULE)], onto=known)
    assert code(answer) == "conflict"
    assert base.item("rule:utc").title == "Theirs"


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"put": []}, 400, "message"),
        ({"message": "m"}, 400, "nothing to commit"),
        ({"message": "m", "put": [as_json(RULE)]}, 400, "nothing to commit"),
        ({"message": "m", "put": [{"id": "rule:x", "title": "X", "body": {"txt": "x"}}]}, 400, "'rule:x', field 'body"),
        ({"message": "m", "put": [as_json(RULE)] * 2}, 400, "'rule:utc' is named twice"),
        ({"message": "m", "put": [as_json(RULE)], "remove": ["rule:utc"]}, 400, "named twice"),
        ({"message": "m", "remove": ["rule:utc"], "branch": "nowhere"}, 404, "branch 'nowhere' not found"),
        ({"message": "m", "remove": ["rule:utc"], "onto": "nowhere"}, 404, "'nowhere'"),
        ({"message": "m", "remove": ["rule:utc", "rule:typo"]}, 404, "item 'rule:typo' not found"),
        ({"message": "m", "remove": ["rule:utc"], "author": "eve"}, 400, "author"),
    ],
)
def test_a_commit_that_cannot_be_made_changes_nothing(
    served: Any, base: KnowledgeBase, body: dict[str, Any], status: int, told: str
) -> None:
    before = base.branches()
    answer = post(served, "/commits", status, **body)
    assert told in answer["error"]["message"]
    assert base.branches() == before


def test_a_revert_takes_back_a_commit_and_is_refused_where_it_was_built_upon(served: Any, base: KnowledgeBase) -> None:
    changed = put(base, replace(RULE, title="Later"))
    made = post(served, "/revert", commit=changed)
    assert made["evidence"] == {"reverts": changed}
    assert base.item("rule:utc") == RULE
    put(base, replace(RULE, title="Latest"))
    assert code(post(served, "/revert", 409, commit=changed)) == "conflict"
    assert code(post(served, "/revert", 404, commit="nowhere")) == "not_found"


def test_a_commit_is_picked_with_the_conflicts_and_resolutions_of_a_merge(served: Any, base: KnowledgeBase) -> None:
    put(base, replace(RULE, title="Draft's"), branch="draft")
    put(base, replace(RULE, title="Main's"))
    answer = post(served, "/cherry-pick", 409, commit="draft")
    assert (code(answer), [each["key"] for each in answer["error"]["conflicts"]]) == (
        "merge_conflicts",
        ["rule:utc:title"],
    )
    made = post(
        served, "/cherry-pick", commit="draft", resolutions={"rule:utc:title": "theirs"}, onto=answer["error"]["ours"]
    )
    assert made["evidence"]["cherry_picks"] == base.resolve("draft").id
    assert base.item("rule:utc").title == "Draft's"


def test_conflicts_between_items_come_as_data_and_are_settled(served: Any, base: KnowledgeBase) -> None:
    ours, theirs = (Item(f"metric:{name}", "Turnover", Metric(name, name)) for name in ("one", "two"))
    put(base, ours, replace(COUNT, title="How much"))
    base.branch("side", at="main~1")
    put(base, theirs, SHORT, branch="side")
    answer = post(served, "/merge", 409, branch="side")
    twice, removed = answer["error"]["conflicts"]
    assert twice == {
        "type": "metric_defined_twice",
        "key": "metric:one/metric:two",
        "item": "metric:one",
        "field": None,
        "other": "metric:two",
        "base": None,
        "ours": as_json(ours),
        "theirs": as_json(theirs),
    }
    assert removed == {
        "type": "schema_removed",
        "key": "template:stock/schema:stock",
        "item": "template:stock",
        "field": None,
        "other": "schema:stock",
        "base": None,
        "lost": [LOST],
        "ours": as_json(replace(COUNT, title="How much")),
        "theirs": as_json(SHORT),
    }
    resolutions = {twice["key"]: "theirs", removed["key"]: "both"}
    merged = post(served, "/merge", 200, branch="side", resolutions=resolutions, onto=answer["error"]["ours"])
    assert [each["id"] for each in merged["quarantined"]] == ["template:stock"]
    assert "metric:one" not in base.snapshot().items
