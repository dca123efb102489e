"""Reach is frozen with a commit, stays with those on top of it, and is kept as all objects are."""

from __future__ import annotations

import pytest

from kb.cherry_pick import cherry_pick
from kb.errors import NothingToCommit, ObjectCorrupt
from kb.gc import gc
from kb.item_reach import pack_reach, unpack_reach
from kb.items import Item, Rule
from kb.knowledge_base import Changes, KnowledgeBase
from kb.memory_store import MemoryStore
from kb.merge import merge
from kb.objects import Commit
from kb.verify import verify

NOTHING = Changes()


@pytest.fixture
def base() -> KnowledgeBase:
    return KnowledgeBase.create(MemoryStore(), "acme", "sales", author="ann")


def freeze(base: KnowledgeBase, branch: str = "main", **reach: int) -> Commit:
    named = {f"rule:{name}": share for name, share in reach.items()}
    return base.commit(NOTHING, author="ann", message="Freeze", branch=branch, reach=named)


def put(base: KnowledgeBase, name: str, branch: str = "main") -> Commit:
    return base.commit(Changes((Item(f"rule:{name}", name, Rule(name)),)), author="ann", message="Put", branch=branch)


def test_a_commit_of_items_keeps_the_reach_that_was_frozen_before(base: KnowledgeBase) -> None:
    first = put(base, "a")
    frozen = freeze(base, a=700)
    later = put(base, "b")
    assert [base.reach(commit) for commit in (first, frozen, later)] == [{}, {"rule:a": 700}, {"rule:a": 700}]
    assert later.reach == frozen.reach
    assert frozen.tree == first.tree


def test_items_and_reach_may_come_in_one_commit(base: KnowledgeBase) -> None:
    item = Item("rule:a", "a", Rule("a"))
    commit = base.commit(Changes((item,)), author="ann", message="Both", reach={"rule:a": 5})
    assert base.item("rule:a", commit.id) == item
    assert base.reach(base.commit_at(commit.id)) == {"rule:a": 5}


def test_a_reach_that_is_frozen_already_is_nothing_to_commit(base: KnowledgeBase) -> None:
    put(base, "a")
    head = freeze(base, a=700)
    with pytest.raises(NothingToCommit):
        freeze(base, a=700, b=0)
    assert base.head() == head
    assert base.reach(freeze(base)) == {}


def test_a_merge_keeps_the_reach_of_the_branch_that_it_goes_into(base: KnowledgeBase) -> None:
    put(base, "a")
    base.branch("draft")
    freeze(base, "draft", a=1)
    put(base, "b", "draft")
    freeze(base, a=2)
    merged = merge(base, "draft", author="ann").commit
    assert base.reach(merged) == {"rule:a": 2}
    assert base.item("rule:b", merged.id).title == "b"


def test_a_merge_takes_the_reach_that_the_other_branch_alone_froze(base: KnowledgeBase) -> None:
    put(base, "a")
    freeze(base, a=2)
    base.branch("draft")
    freeze(base, "draft", a=1)
    put(base, "b")
    assert base.reach(merge(base, "draft", author="ann").commit) == {"rule:a": 1}


def test_a_freeze_is_picked_onto_another_branch(base: KnowledgeBase) -> None:
    put(base, "a")
    base.branch("draft")
    frozen = freeze(base, "draft", a=1)
    put(base, "b")
    assert base.reach(cherry_pick(base, frozen.id, author="ann")) == {"rule:a": 1}
    with pytest.raises(NothingToCommit):
        cherry_pick(base, frozen.id, author="ann")


def test_gc_keeps_the_reach_that_a_commit_names_and_deletes_one_that_none_does(base: KnowledgeBase) -> None:
    put(base, "a")
    base.branch("draft")
    lost = freeze(base, "draft", a=1).reach
    kept = freeze(base, a=2).reach
    base.delete_branch("draft")
    gc(base, grace_seconds=-1)
    stored = {each.id for each in base.store.objects(base.id)}
    assert kept in stored
    assert lost not in stored


def test_verify_reads_it_and_tells_where_it_is_missing(base: KnowledgeBase) -> None:
    put(base, "a")
    commit = freeze(base, a=2)
    assert verify(base).clean
    assert verify(base).checked["reach"] == 1
    with base.store.writers_held(base.id) as delete:
        delete([str(commit.reach)])
    (problem,) = verify(base).problems
    assert (problem.fault, problem.tag, problem.object_id) == ("missing", "reach", commit.reach)
    assert f"commit {commit.id}" in problem.reached_by
    with pytest.raises(ObjectCorrupt):
        KnowledgeBase(base.store, "acme", "sales").reach(commit)


@pytest.mark.parametrize("content", [b"[]", b'{"rule:a": "much"}', b"{"])
def test_bytes_that_are_no_reach_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError):
        unpack_reach("sales", "id", b"kvasir reach 1\n" + content)


def test_what_nothing_needs_is_not_stored() -> None:
    assert pack_reach({"rule:a": 0, "rule:b": 3}) == pack_reach({"rule:b": 3})


def test_the_id_of_a_commit_without_reach_is_what_it_always_was() -> None:
    from kb.objects import pack_commit

    said = {"author": "ann", "message": "m", "created_at": "2026-01-01T00:00:00+00:00", "evidence": {}}
    commit, data = pack_commit("acme/sales", "tree", (), **said)  # type: ignore[arg-type]
    assert b"reach" not in data
    assert commit.reach is None
