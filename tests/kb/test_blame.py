from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from kb.blame import blame
from kb.cherry_pick import cherry_pick
from kb.errors import FieldNotFound, ItemNotFound
from kb.items import Item, Metric, Provenance, Success
from kb.knowledge_base import Changes, KnowledgeBase
from kb.memory_store import MemoryStore
from kb.merge import merge
from kb.objects import Commit

MakeRule = Callable[..., Item]


def put(base: KnowledgeBase, *items: Item, branch: str = "main", author: str = "ann", **evidence: str) -> Commit:
    return base.commit(Changes(items), author=author, message="Put items", branch=branch, evidence=evidence)


def origins(base: KnowledgeBase, item: str, revision: str = "main") -> dict[str, Commit]:
    return {each.field: each.commit for each in blame(base, item, revision=revision)}


def test_each_field_is_blamed_on_the_commit_that_made_it(base: KnowledgeBase, rule: MakeRule) -> None:
    added = put(base, rule("a", "one"))
    put(base, rule("b"))
    titled = put(base, replace(rule("a", "one"), title="A better title"), author="bob")
    put(base, rule("c"))
    said = put(base, replace(rule("a", "two"), title="A better title", refs=("rule:b",)))
    found = blame(base, "rule:a")
    assert [each.field for each in found] == [
        "id",
        "kind",
        "title",
        "body.text",
        "refs.0",
        "schema_fingerprint",
        "usage",
        "status",
        "provenance",
    ]
    assert origins(base, "rule:a") == {
        **dict.fromkeys(("id", "kind", "schema_fingerprint", "usage", "status", "provenance"), added),
        "title": titled,
        "body.text": said,
        "refs.0": said,
    }
    assert {each.field: each.value for each in found}["body.text"] == "two"
    assert origins(base, "rule:a", titled.id)["body.text"] == added


def test_a_field_that_was_changed_back_is_blamed_on_who_changed_it_back(base: KnowledgeBase, rule: MakeRule) -> None:
    put(base, rule("a", "one"))
    changed = put(base, rule("a", "two"))
    undone = base.revert(changed.id, author="bob")
    (found,) = blame(base, "rule:a", "body.text")
    assert (found.commit, found.source) == (undone, changed.id)


def test_an_item_that_was_removed_starts_anew(base: KnowledgeBase, rule: MakeRule) -> None:
    put(base, rule("a"))
    base.commit(Changes(remove=("rule:a",)), author="ann", message="Remove")
    again = put(base, rule("a"))
    assert all(commit == again for commit in origins(base, "rule:a").values())


def test_a_merge_is_not_to_blame_for_what_a_branch_brought(base: KnowledgeBase, rule: MakeRule) -> None:
    added = put(base, rule("a", "one"))
    base.branch("draft")
    theirs = put(base, rule("a", "two"), branch="draft", author="eve")
    ours = put(base, replace(rule("a", "one"), title="Ours"))
    merge(base, "draft", author="bob")
    put(base, rule("z"))
    found = origins(base, "rule:a")
    assert (found["body.text"], found["title"], found["id"]) == (theirs, ours, added)


def test_a_merge_is_to_blame_for_what_was_settled_by_hand(base: KnowledgeBase, rule: MakeRule) -> None:
    put(base, rule("a", "one"))
    base.branch("draft")
    put(base, rule("a", "two"), branch="draft")
    put(base, rule("a", "three"))
    merged = merge(base, "draft", author="bob", resolutions={"rule:a": rule("a", "four")}).commit
    assert origins(base, "rule:a")["body.text"] == merged


def test_a_cherry_picked_field_leads_to_its_source(base: KnowledgeBase, rule: MakeRule) -> None:
    put(base, rule("a", "one"))
    base.branch("draft")
    source = put(base, rule("a", "two"), branch="draft")
    picked = cherry_pick(base, "draft", author="bob")
    (found,) = blame(base, "rule:a", "body.text")
    assert (found.commit, found.source) == (picked, source.id)


def test_it_says_which_request_who_confirmed_and_which_replay(base: KnowledgeBase) -> None:
    provenance = Provenance("confirmation", "req_1", "ann", "2030-01-01T00:00:00+00:00")
    learned = Item("success:a", "How many?", Success("How many?", "SELECT 1"), provenance=provenance)
    put(base, learned, request="req_1", proposal="prop_1")
    edited = replace(learned, title="How many orders?")
    put(base, edited, author="cid")
    retired = edited.with_status("retired")
    put(base, retired, author="bob", request="req_2", proposal="prop_2")
    found = {each.field: each for each in blame(base, "success:a")}
    answer, title, status = found["body.answer"], found["title"], found["status"]
    assert (answer.request, answer.confirmed_by, answer.proposal) == ("req_1", "ann", "prop_1")
    assert answer.confirmed_at == "2030-01-01T00:00:00+00:00"
    # An edit by hand is not what ann confirmed.
    assert (title.request, title.confirmed_by, title.proposal) == ("", "", "")
    assert (status.request, status.confirmed_by, status.confirmed_at, status.proposal) == ("req_2", "bob", "", "prop_2")


def test_an_imported_item_leads_to_the_request_in_its_provenance(base: KnowledgeBase) -> None:
    item = Item("metric:m", "M", Metric("m"), provenance=Provenance("confirmation", "req_1", "ann"))
    put(base, item)
    (found,) = blame(base, "metric:m", "title")
    assert (found.request, found.confirmed_by) == ("req_1", "ann")


def test_a_field_names_those_below_it(base: KnowledgeBase) -> None:
    put(base, Item("metric:m", "M", Metric("m", "SUM(x)")))
    assert [each.field for each in blame(base, "metric:m", "body")] == ["body.definition", "body.expression"]
    with pytest.raises(FieldNotFound, match=r"no field 'bod'; it has id, kind, title, body\.definition"):
        blame(base, "metric:m", "bod")
    with pytest.raises(ItemNotFound, match="rule:absent"):
        blame(base, "rule:absent")


def test_commits_that_did_not_touch_the_item_cost_two_reads_each(rule: MakeRule) -> None:
    class Counting(MemoryStore):
        reads = 0

        def read(self, base, object_ids):  # type: ignore[no-untyped-def]
            self.reads += len(object_ids)
            return super().read(base, object_ids)

    store = Counting()
    base = KnowledgeBase.create(store, "acme", "sales", author="ann")
    added = put(base, *(rule(f"r{number}") for number in range(600)))
    for number in range(100):
        put(base, rule("r1", f"text {number}"))
    store.reads = 0
    assert all(commit == added for commit in origins(base, "rule:r500").values())
    # A commit and the root of its tree, and now and then a node below it that r1 shares.
    assert store.reads < 420
