from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from kb.cherry_pick import cherry_pick
from kb.errors import (
    BranchNotFound,
    CommitNotFound,
    Conflict,
    InvalidItem,
    MergeConflicts,
    NothingToCommit,
    NotInConflict,
)
from kb.item_merge import BothAdded, BothChanged, ChangedAndRemoved
from kb.items import Item
from kb.knowledge_base import Changes, KnowledgeBase
from kb.memory_store import MemoryStore
from kb.merge import merge
from kb.objects import Commit

MakeRule = Callable[..., Item]


def put(base: KnowledgeBase, *items: Item, branch: str = "main", remove: tuple[str, ...] = ()) -> Commit:
    return base.commit(Changes(items, remove), author="ann", message="Put items", branch=branch)


@pytest.fixture
def forked(base: KnowledgeBase, rule: MakeRule) -> KnowledgeBase:
    """`main` and `draft` start at one commit of fifty rules, among them `a` and `b`."""
    put(base, rule("a", "one"), rule("b", "one"), *(rule(f"r{number}") for number in range(48)))
    base.branch("draft")
    return base


# ── merge ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_changes_of_other_items_meet_in_a_commit_of_two_parents(forked: KnowledgeBase, rule: MakeRule) -> None:
    start = forked.resolve().id
    ours = put(forked, rule("a", "two"), rule("new"))
    theirs = put(forked, rule("b", "two"), branch="draft", remove=("rule:r7",))
    merged = merge(forked, "draft", author="bob")
    assert (merged.outcome, merged.base) == ("merged", start)
    assert merged.commit == forked.resolve()
    assert merged.commit.parents == (ours.id, theirs.id)
    assert (merged.commit.author, merged.commit.message) == ("bob", "Merge branch 'draft'")
    assert merged.commit.evidence == {"merges": theirs.id}
    items = forked.snapshot().items
    assert (items["rule:a"], items["rule:b"]) == (rule("a", "two"), rule("b", "two"))
    assert "rule:new" in items
    assert "rule:r7" not in items
    assert len(items) == 50
    assert forked.resolve("draft") == theirs


def test_fields_of_one_item_that_each_side_changed_are_both_kept(forked: KnowledgeBase, rule: MakeRule) -> None:
    put(forked, replace(rule("a", "one"), title="A new title"))
    put(forked, replace(rule("a", "two"), usage="never"), branch="draft")
    merge(forked, "draft", author="bob")
    assert forked.item("rule:a") == replace(rule("a", "two"), title="A new title", usage="never")


def test_a_branch_that_only_moved_on_is_fast_forwarded(forked: KnowledgeBase, rule: MakeRule) -> None:
    draft = put(forked, rule("a", "two"), branch="draft")
    merged = merge(forked, "draft", author="bob")
    assert (merged.outcome, merged.commit) == ("fast-forward", draft)
    assert forked.resolve() == draft
    assert merge(forked, "draft", author="bob").outcome == "up-to-date"


def test_no_ff_makes_a_merge_commit_of_it(forked: KnowledgeBase, rule: MakeRule) -> None:
    ours = forked.resolve()
    draft = put(forked, rule("a", "two"), branch="draft")
    merged = merge(forked, "draft", author="bob", no_ff=True, message="Land the draft")
    assert merged.outcome == "merged"
    assert merged.commit.parents == (ours.id, draft.id)
    assert (merged.commit.tree, merged.commit.message) == (draft.tree, "Land the draft")
    assert forked.log(limit=2) == [merged.commit, ours]


def test_a_merge_of_the_same_changes_is_recorded_and_changes_nothing(forked: KnowledgeBase, rule: MakeRule) -> None:
    ours = put(forked, rule("a", "two"))
    forked.commit(Changes((rule("a", "two"),)), author="eve", message="The same", branch="draft")
    merged = merge(forked, "draft", author="bob")
    assert len(merged.commit.parents) == 2
    assert merged.commit.tree == ours.tree
    assert merge(forked, "draft", author="bob").outcome == "up-to-date"


def test_a_later_merge_starts_from_the_last_one(forked: KnowledgeBase, rule: MakeRule) -> None:
    put(forked, rule("a", "two"))
    theirs = put(forked, rule("b", "two"), branch="draft")
    merge(forked, "draft", author="bob")
    put(forked, rule("b", "three"))
    later = put(forked, rule("c"), branch="draft")
    merged = merge(forked, "draft", author="bob")
    assert merged.base == theirs.id
    assert merged.commit.parents[1] == later.id
    assert forked.item("rule:b") == rule("b", "three")
    assert forked.is_ancestor(theirs.id, "main")
    assert [commit.parents[0] for commit in forked.log()[:-1]] == [commit.id for commit in forked.log()[1:]]


def test_a_commit_and_another_branch_can_be_named(forked: KnowledgeBase, rule: MakeRule) -> None:
    put(forked, rule("a", "two"))
    theirs = put(forked, rule("b", "two"), branch="draft")
    put(forked, rule("b", "three"), branch="draft")
    forked.branch("side", at="main")
    merged = merge(forked, theirs.short_id, into="side", author="bob")
    assert merged.commit.message == f"Merge commit '{theirs.short_id}' into side"
    assert forked.item("rule:b", "side") == rule("b", "two")


def test_conflicts_of_every_type_are_listed_and_nothing_is_changed(forked: KnowledgeBase, rule: MakeRule) -> None:
    ours = put(forked, rule("a", "ours"), rule("new", "ours"), rule("r1", "ours"), remove=("rule:b",))
    theirs = put(
        forked, rule("a", "theirs"), rule("new", "theirs"), rule("b", "theirs"), branch="draft", remove=("rule:r1",)
    )
    with pytest.raises(MergeConflicts, match="4 conflicts") as caught:
        merge(forked, "draft", author="bob")
    found = {conflict.key: conflict for conflict in caught.value.conflicts}
    assert found == {
        "rule:a:body.text": BothChanged("rule:a", "body.text", "one", "ours", "theirs"),
        "rule:new": BothAdded("rule:new", rule("new", "ours"), rule("new", "theirs")),
        "rule:b": ChangedAndRemoved("rule:b", rule("b", "one"), None, rule("b", "theirs")),
        "rule:r1": ChangedAndRemoved("rule:r1", rule("r1"), rule("r1", "ours"), None),
    }
    assert (caught.value.ours, caught.value.theirs) == (ours.id, theirs.id)
    assert forked.branches() == {"main": ours.id, "draft": theirs.id}


def test_each_conflict_takes_its_resolution(forked: KnowledgeBase, rule: MakeRule) -> None:
    put(forked, rule("a", "ours"), rule("new", "ours"), rule("r1", "ours"), remove=("rule:b",))
    put(forked, rule("a", "theirs"), rule("new", "theirs"), rule("b", "theirs"), branch="draft", remove=("rule:r1",))
    merged = merge(
        forked,
        "draft",
        author="bob",
        resolutions={
            "rule:a:body.text": "theirs",
            "rule:new": rule("new", "agreed"),
            "rule:b": "base",
            "rule:r1": "theirs",
        },
    )
    items = forked.snapshot().items
    assert items["rule:a"] == rule("a", "theirs")
    assert items["rule:new"] == rule("new", "agreed")
    assert items["rule:b"] == rule("b", "one")
    assert "rule:r1" not in items
    told = "rule:a:body.text=theirs, rule:b=base, rule:new=a given item, rule:r1=theirs"
    assert merged.commit.evidence["resolved"] == told


def test_an_item_resolved_is_taken_whole_and_a_field_alone(forked: KnowledgeBase, rule: MakeRule) -> None:
    put(forked, rule("a", "ours"))
    put(forked, replace(rule("a", "theirs"), title="Their title"), branch="draft")
    forked.branch("other", at="main")
    merge(forked, "draft", author="bob", resolutions={"rule:a:body.text": "ours"})
    assert forked.item("rule:a") == replace(rule("a", "ours"), title="Their title")
    merge(forked, "draft", into="other", author="bob", resolutions={"rule:a": "ours"})
    assert forked.item("rule:a", "other") == rule("a", "ours")


def test_what_is_not_resolved_is_still_a_conflict(forked: KnowledgeBase, rule: MakeRule) -> None:
    put(forked, rule("a", "ours"), rule("b", "ours"))
    put(forked, rule("a", "theirs"), rule("b", "theirs"), branch="draft")
    with pytest.raises(MergeConflicts, match=r"1 conflict: both changed rule:b, field body\.text") as caught:
        merge(forked, "draft", author="bob", resolutions={"rule:a": "ours"})
    assert [conflict.key for conflict in caught.value.conflicts] == ["rule:b:body.text"]


@pytest.mark.parametrize("key", ["rule:b", "rule:a:title", "rule:b:body.text", "nonsense", ""])
def test_a_resolution_of_what_is_in_no_conflict_is_refused(forked: KnowledgeBase, rule: MakeRule, key: str) -> None:
    put(forked, rule("a", "ours"), rule("b", "ours"))
    put(forked, rule("a", "theirs"), branch="draft")
    with pytest.raises(NotInConflict, match=r"in conflict are: rule:a:body\.text"):
        merge(forked, "draft", author="bob", resolutions={key: "ours"})


def test_an_item_given_for_another_or_for_a_field_is_refused(forked: KnowledgeBase, rule: MakeRule) -> None:
    put(forked, rule("a", "ours"))
    put(forked, rule("a", "theirs"), branch="draft")
    for key, item in (("rule:a", rule("b")), ("rule:a:body.text", rule("a"))):
        with pytest.raises(InvalidItem):
            merge(forked, "draft", author="bob", resolutions={key: item})
    assert len(forked.log()) == 3


def test_a_resolution_made_for_an_older_head_does_not_undo_what_came_since(
    forked: KnowledgeBase, rule: MakeRule
) -> None:
    put(forked, rule("a", "ours"))
    put(forked, rule("a", "theirs"), branch="draft")
    with pytest.raises(MergeConflicts) as caught:
        merge(forked, "draft", author="bob")
    seen = caught.value.ours
    put(forked, rule("a", "ours, better"))
    with pytest.raises(Conflict, match="rule:a changed there meanwhile"):
        merge(forked, "draft", author="bob", resolutions={"rule:a": rule("a", "agreed")}, onto=seen)
    put(forked, rule("c"))
    merge(forked, "draft", author="bob", resolutions={"rule:a": "ours"}, onto="main~1")
    assert forked.item("rule:a") == rule("a", "ours, better")


def test_names_that_are_not_there_are_refused(forked: KnowledgeBase) -> None:
    with pytest.raises(CommitNotFound, match="'nowhere'"):
        merge(forked, "nowhere", author="bob")
    with pytest.raises(BranchNotFound, match="'nowhere'"):
        merge(forked, "draft", into="nowhere", author="bob")
    with pytest.raises(NotInConflict, match="nothing is in conflict"):
        merge(forked, "draft", author="bob", resolutions={"rule:a": "ours"})


# ── histories that were merged into each other ───────────────────────────────────────────────────────────────────


def criss_cross(base: KnowledgeBase) -> None:
    """Merge `main` and `draft` into each other, so that both have two nearest common ancestors."""
    base.tag("was-main")
    base.tag("was-draft", at="draft")
    merge(base, "was-draft", author="bob")
    merge(base, "was-main", into="draft", author="bob")


def test_a_criss_cross_merges_as_if_it_had_one_base(forked: KnowledgeBase, rule: MakeRule) -> None:
    put(forked, rule("a", "two"), rule("x", "main's"))
    put(forked, replace(rule("b", "two"), usage="never"), branch="draft")
    criss_cross(forked)
    put(forked, rule("a", "three"), remove=("rule:x",))
    put(forked, replace(rule("b", "three"), usage="never"), branch="draft")
    merged = merge(forked, "draft", author="bob")
    assert merged.base is None
    items = forked.snapshot().items
    assert items["rule:a"] == rule("a", "three")
    assert items["rule:b"] == replace(rule("b", "three"), usage="never")
    assert "rule:x" not in items


def test_a_criss_cross_whose_bases_merge_within_an_item_uses_that_merge(forked: KnowledgeBase, rule: MakeRule) -> None:
    put(forked, replace(rule("a", "one"), title="Main's title"))
    put(forked, rule("a", "draft's text"), branch="draft")
    criss_cross(forked)
    both = replace(rule("a", "draft's text"), title="Main's title")
    assert forked.item("rule:a") == forked.item("rule:a", "draft") == both
    put(forked, replace(both, usage="never"))
    put(forked, replace(both, title="Draft's title"), branch="draft")
    merge(forked, "draft", author="bob")
    assert forked.item("rule:a") == replace(both, usage="never", title="Draft's title")


def test_a_criss_cross_settled_differently_conflicts_again(forked: KnowledgeBase, rule: MakeRule) -> None:
    put(forked, rule("a", "ours"))
    put(forked, rule("a", "theirs"), branch="draft")
    forked.tag("was-main")
    forked.tag("was-draft", at="draft")
    merge(forked, "was-draft", author="bob", resolutions={"rule:a": "ours"})
    merge(forked, "was-main", into="draft", author="bob", resolutions={"rule:a": "ours"})
    with pytest.raises(MergeConflicts) as caught:
        merge(forked, "draft", author="bob")
    assert caught.value.conflicts == (BothAdded("rule:a", rule("a", "ours"), rule("a", "theirs")),)
    with pytest.raises(InvalidItem, match="no one base"):
        merge(forked, "draft", author="bob", resolutions={"rule:a": "base"})
    merge(forked, "draft", author="bob", resolutions={"rule:a": "theirs"})
    assert forked.item("rule:a") == rule("a", "theirs")


# ── another writer ───────────────────────────────────────────────────────────────────────────────────────────────


class Interrupted(MemoryStore):
    """A store where another writer is a moment faster, once."""

    interruption: Callable[[], object] | None = None

    def write(self, base, objects, moves=(), *, present=()):  # type: ignore[no-untyped-def]
        interruption, self.interruption = self.interruption, None
        if interruption:
            interruption()
        super().write(base, objects, moves, present=present)


@pytest.fixture
def contested(rule: MakeRule) -> KnowledgeBase:
    base = KnowledgeBase.create(Interrupted(), "acme", "sales", author="ann")
    put(base, rule("a", "one"), rule("b", "one"))
    base.branch("draft")
    return base


def interrupt(base: KnowledgeBase, interruption: Callable[[], object]) -> None:
    assert isinstance(base.store, Interrupted)
    base.store.interruption = interruption


def test_a_merge_that_loses_the_race_is_made_again_on_the_new_head(contested: KnowledgeBase, rule: MakeRule) -> None:
    theirs = put(contested, rule("b", "two"), branch="draft")
    interrupt(contested, lambda: put(contested, rule("c")))
    merged = merge(contested, "draft", author="bob")  # it began as a fast-forward
    assert merged.outcome == "merged"
    assert [contested.commit_at(parent).author for parent in merged.commit.parents] == ["ann", "ann"]
    assert merged.commit.parents[1] == theirs.id
    assert sorted(contested.snapshot().items) == ["rule:a", "rule:b", "rule:c"]


def test_a_conflict_that_the_faster_writer_made_is_told(contested: KnowledgeBase, rule: MakeRule) -> None:
    put(contested, rule("c"))
    put(contested, rule("b", "two"), branch="draft")
    interrupt(contested, lambda: put(contested, rule("b", "three")))
    with pytest.raises(MergeConflicts, match="both changed rule:b"):
        merge(contested, "draft", author="bob")
    assert contested.item("rule:b") == rule("b", "three")


def test_a_branch_deleted_meanwhile_is_not_made_again(contested: KnowledgeBase, rule: MakeRule) -> None:
    put(contested, rule("b", "two"), branch="draft")
    contested.branch("side")
    interrupt(contested, lambda: contested.delete_branch("side"))
    with pytest.raises(BranchNotFound, match="'side'"):
        merge(contested, "draft", into="side", author="bob")


# ── cherry-pick ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_one_commits_changes_are_picked_and_no_others(forked: KnowledgeBase, rule: MakeRule) -> None:
    put(forked, rule("a", "two"), branch="draft")
    source = forked.commit(
        Changes((rule("b", "two"), rule("new")), ("rule:r7",)),
        author="ann",
        message="Better b",
        branch="draft",
        evidence={"proposal": "prop_1"},
    )
    put(forked, rule("new", "later"), branch="draft")
    ours = put(forked, replace(rule("b", "one"), title="Our title"))
    picked = cherry_pick(forked, "draft~1", author="bob")
    assert picked.parents == (ours.id,)
    assert (picked.author, picked.message) == ("bob", "Better b")
    assert picked.evidence == {"cherry_picks": source.id}
    items = forked.snapshot().items
    assert items["rule:a"] == rule("a", "one")
    assert items["rule:b"] == replace(rule("b", "two"), title="Our title")
    assert items["rule:new"] == rule("new")
    assert "rule:r7" not in items


def test_a_pick_that_conflicts_changes_nothing_until_it_is_resolved(forked: KnowledgeBase, rule: MakeRule) -> None:
    source = put(forked, rule("a", "theirs"), branch="draft")
    ours = put(forked, rule("a", "ours"))
    with pytest.raises(MergeConflicts, match=f"cannot cherry-pick {source.short_id} onto 'main'") as caught:
        cherry_pick(forked, "draft", author="bob")
    assert [conflict.key for conflict in caught.value.conflicts] == ["rule:a:body.text"]
    assert forked.resolve() == ours
    picked = cherry_pick(forked, "draft", author="bob", resolutions={"rule:a": "theirs"})
    assert picked.evidence == {"cherry_picks": source.id, "resolved": "rule:a=theirs"}
    assert forked.item("rule:a") == rule("a", "theirs")


def test_a_pick_of_what_is_there_already_is_refused(forked: KnowledgeBase, rule: MakeRule) -> None:
    put(forked, rule("a", "two"), branch="draft")
    cherry_pick(forked, "draft", author="bob")
    for revision in ("draft", "main~2"):
        with pytest.raises(NothingToCommit):
            cherry_pick(forked, revision, author="bob")
    with pytest.raises(BranchNotFound):
        cherry_pick(forked, "draft", branch="nowhere", author="bob")


def test_a_pick_of_a_merge_takes_what_it_changed_on_its_first_parent(forked: KnowledgeBase, rule: MakeRule) -> None:
    forked.branch("old")
    put(forked, rule("a", "two"))
    put(forked, rule("b", "two"), branch="draft")
    merge(forked, "draft", author="bob")
    cherry_pick(forked, "main", branch="old", author="bob")
    items = forked.snapshot("old").items
    assert (items["rule:a"], items["rule:b"]) == (rule("a", "one"), rule("b", "two"))


def test_a_pick_that_loses_the_race_is_made_again(contested: KnowledgeBase, rule: MakeRule) -> None:
    put(contested, rule("b", "two"), branch="draft")
    interrupt(contested, lambda: put(contested, rule("c")))
    cherry_pick(contested, "draft", author="bob")
    assert sorted(contested.snapshot().items) == ["rule:a", "rule:b", "rule:c"]
    interrupt(contested, lambda: put(contested, rule("d")))
    contested.revert("main", author="bob")
    assert contested.item("rule:b") == rule("b", "one")
