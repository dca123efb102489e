from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from kb.errors import (
    AlreadyExists,
    AmbiguousCommit,
    BaseNotFound,
    BranchNotFound,
    CommitNotFound,
    Conflict,
    InvalidName,
    ItemNotFound,
    NotADescendant,
    NothingToCommit,
    ObjectCorrupt,
    RefMoved,
)
from kb.items import Item
from kb.knowledge_base import Changes, KnowledgeBase
from kb.memory_store import MemoryStore
from kb.objects import Commit, pack_commit
from kb.store import BaseId

MakeRule = Callable[..., Item]


def put(base: KnowledgeBase, *items: Item, branch: str = "main", onto: str | None = None) -> Commit:
    message = "Put " + ", ".join(item.id for item in items)
    return base.commit(Changes(items), author="ann", message=message, branch=branch, onto=onto)


# ── making and opening ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_new_base_has_one_empty_commit_on_main(base: KnowledgeBase) -> None:
    assert base.branches() == {"main": base.resolve().id}
    assert base.snapshot().items == {}
    [first] = base.log()
    assert (first.parents, first.author, first.base) == ((), "ann", "acme/sales")


def test_a_base_that_is_not_there_is_refused_with_those_that_are(base: KnowledgeBase) -> None:
    with pytest.raises(BaseNotFound, match=r"'seles' not found \(known: sales\)"):
        KnowledgeBase(base.store, "acme", "seles")
    with pytest.raises(BaseNotFound):
        KnowledgeBase(base.store, "other", "sales")


def test_a_base_is_made_once(base: KnowledgeBase) -> None:
    with pytest.raises(AlreadyExists):
        KnowledgeBase.create(base.store, "acme", "sales", author="bob")
    assert len(base.log()) == 1


def test_a_base_whose_making_was_cut_short_can_be_made_again() -> None:
    store = MemoryStore()
    store.create_base(BaseId("acme", "sales"))
    assert KnowledgeBase.create(store, "acme", "sales", author="ann").snapshot().items == {}


@pytest.mark.parametrize("name", ["", "a/b", "-a", "a b", "a\n", "ü", "x" * 101])
def test_a_base_needs_a_usable_name(name: str) -> None:
    with pytest.raises(InvalidName):
        KnowledgeBase.create(MemoryStore(), "acme", name, author="ann")


def test_tenants_with_bases_of_one_name_share_nothing(base: KnowledgeBase, rule: MakeRule) -> None:
    other = KnowledgeBase.create(base.store, "other", "sales", author="eve")
    commit = put(base, rule())
    assert other.snapshot().items == {}
    with pytest.raises(CommitNotFound):
        other.resolve(commit.id)
    with pytest.raises(ObjectCorrupt):
        other.commit_at(commit.id)


# ── commits and reading ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_commit_says_who_what_when_and_why(rule: MakeRule) -> None:
    store = MemoryStore()
    KnowledgeBase.create(store, "acme", "sales", author="ann")
    base = KnowledgeBase(store, "acme", "sales", now=lambda: datetime(2030, 1, 2, 3, 4, 5, 6, UTC))
    parent = base.resolve()
    commit = base.commit(Changes((rule(),)), author="bob", message="Add", evidence={"request": "r1"})
    assert base.commit_at(commit.id) == base.resolve("main") == commit
    assert commit.parents == (parent.id,)
    assert (commit.author, commit.message, commit.evidence) == ("bob", "Add", {"request": "r1"})
    assert commit.created_at == "2030-01-02T03:04:05.000006+00:00"


def test_a_commits_id_is_derived_from_all_it_says() -> None:
    said = {"author": "a", "message": "m", "created_at": "t", "evidence": {}}
    first, data = pack_commit("acme/sales", "tree", ("p",), **said)  # type: ignore[arg-type]
    assert pack_commit("acme/sales", "tree", ("p",), **said) == (first, data)  # type: ignore[arg-type]
    variants = [pack_commit("acme/hr", "tree", ("p",), **said)]  # type: ignore[arg-type]
    variants += [pack_commit("acme/sales", "tree2", ("p",), **said)]  # type: ignore[arg-type]
    variants += [pack_commit("acme/sales", "tree", ("q",), **said)]  # type: ignore[arg-type]
    for key, value in {"author": "b", "message": "n", "created_at": "u", "evidence": {"k": "v"}}.items():
        variants.append(pack_commit("acme/sales", "tree", ("p",), **{**said, key: value}))  # type: ignore[arg-type]
    assert len({first.id, *(commit.id for commit, _ in variants)}) == 1 + len(variants)


def test_a_commit_that_changes_nothing_is_refused(base: KnowledgeBase, rule: MakeRule) -> None:
    put(base, rule())
    for changes in (Changes(), Changes((rule(),)), Changes(remove=("rule:absent",))):
        with pytest.raises(NothingToCommit):
            base.commit(changes, author="ann", message="Nothing")
    assert len(base.log()) == 2


def test_any_commit_can_be_read_for_ever(base: KnowledgeBase, rule: MakeRule) -> None:
    first = put(base, rule("a", "one"), rule("b"))
    second = put(base, rule("a", "two"))
    base.commit(Changes(remove=("rule:a",)), author="ann", message="Remove")
    assert base.item("rule:a", first.id) == rule("a", "one")
    assert base.item("rule:a", second.id) == rule("a", "two")
    assert list(base.snapshot(second.id).items) == ["rule:a", "rule:b"]
    assert list(base.snapshot().items) == ["rule:b"]
    with pytest.raises(ItemNotFound, match=f"'rule:a' not found in 'sales' at commit {base.resolve().short_id}"):
        base.item("rule:a")


def test_a_snapshots_hashes_lead_back_to_its_items(base: KnowledgeBase, rule: MakeRule) -> None:
    put(base, *(rule(f"r{number}") for number in range(100)))
    snapshot = base.snapshot()
    assert snapshot.commit == base.resolve()
    assert snapshot.items.keys() == snapshot.hashes.keys()
    found = base.items_by_hash(snapshot.hashes.values())
    assert {key: found[snapshot.hashes[key]] for key in snapshot.items} == snapshot.items


def test_the_same_items_have_the_same_tree_whatever_the_way_there(base: KnowledgeBase, rule: MakeRule) -> None:
    items = [rule(f"r{number}") for number in range(60)]
    at_once = put(base, *items)
    base.branch("slow", at="main~1")
    put(base, rule("gone"), branch="slow")
    for item in reversed(items):
        put(base, item, branch="slow")
    slow = base.commit(Changes(remove=("rule:gone",)), author="ann", message="Remove", branch="slow")
    assert slow.tree == at_once.tree
    assert base.diff(slow.id, at_once.id).changes == ()


# ── naming commits ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_commit_has_many_names(base: KnowledgeBase, rule: MakeRule) -> None:
    commits = [base.resolve(), *(put(base, rule(f"r{number}")) for number in range(4))]
    base.tag("v1", at=commits[2].id)
    head = commits[4]
    names = {
        "main": 4,
        "HEAD": 4,
        "main~0": 4,
        "main~": 3,
        "main^": 3,
        "main~2": 2,
        "main^^": 2,
        "main~1^~": 1,
        "main~4": 0,
        "v1": 2,
        "v1~2": 0,
        head.id: 4,
        head.short_id: 4,
        f"{head.short_id}~3": 1,
    }
    assert {name: base.resolve(name).id for name in names} == {name: commits[at].id for name, at in names.items()}


@pytest.mark.parametrize(
    "revision",
    ["absent", "", "main~9", "main~" + "9" * 5000, "~1", "main^2", "abc", "0" * 64, "main\n", "main~1x", "main main"],
)
def test_a_name_of_no_commit_is_refused(base: KnowledgeBase, revision: str) -> None:
    with pytest.raises(CommitNotFound):
        base.resolve(revision)


def test_an_abbreviated_id_that_fits_several_commits_is_refused(base: KnowledgeBase) -> None:
    said = {"author": "a", "created_at": "t", "evidence": {}}
    by_prefix: dict[str, list[tuple[Commit, bytes]]] = {}
    for number in range(2000):
        commit, data = pack_commit("acme/sales", base.resolve().tree, (), message=str(number), **said)  # type: ignore[arg-type]
        by_prefix.setdefault(commit.id[:4], []).append((commit, data))
    prefix, pair = next((key, found) for key, found in by_prefix.items() if len(found) > 1)
    base.store.write(base.id, {commit.id: data for commit, data in pair})
    with pytest.raises(AmbiguousCommit, match="give more digits") as caught:
        base.resolve(prefix)
    assert set(caught.value.matches) >= {commit.id for commit, _ in pair}
    assert base.resolve(pair[0][0].id[:20]) == pair[0][0]


def test_an_abbreviated_id_of_very_many_objects_is_not_said_to_be_none(base: KnowledgeBase) -> None:
    base.store.write(base.id, {f"abcd{number:060x}": b"kvasir item 1\n{}" for number in range(20)})
    with pytest.raises(AmbiguousCommit):
        base.resolve("abcd")
    with pytest.raises(CommitNotFound):
        base.resolve(f"abcd{3:060x}")


def test_an_abbreviated_id_of_an_item_names_no_commit(base: KnowledgeBase, rule: MakeRule) -> None:
    put(base, rule())
    with pytest.raises(CommitNotFound):
        base.resolve(base.snapshot().hashes["rule:utc"])


# ── log and diff ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_log_runs_from_new_to_old(base: KnowledgeBase, rule: MakeRule) -> None:
    commits = [base.resolve(), put(base, rule("a")), put(base, rule("b"))]
    assert base.log() == commits[::-1]
    assert base.log(limit=1) == [commits[2]]
    assert base.log("main~1") == commits[1::-1]
    assert base.log(limit=0) == []


def test_the_log_of_an_item_holds_the_commits_that_changed_it(base: KnowledgeBase, rule: MakeRule) -> None:
    added = put(base, rule("a", "one"))
    put(base, rule("b"))
    changed = put(base, rule("a", "two"))
    removed = base.commit(Changes(remove=("rule:a",)), author="ann", message="Remove")
    put(base, rule("c"))
    assert base.log(item="rule:a") == [removed, changed, added]
    assert base.log(item="rule:a", limit=2) == [removed, changed]
    assert base.log(item="rule:never") == []


def test_a_diff_lists_what_was_added_changed_and_removed_field_by_field(base: KnowledgeBase, rule: MakeRule) -> None:
    old = put(base, rule("a", "one"), rule("b"), rule("d"))
    changes = Changes((replace(rule("a", "two"), refs=("rule:b",)), rule("c")), ("rule:b",))
    new = base.commit(changes, author="ann", message="Change")
    diff = base.diff(old.id, new.id)
    assert (diff.old, diff.new) == (old.id, new.id)
    assert [(change.id, change.change) for change in diff.changes] == [
        ("rule:a", "changed"),
        ("rule:b", "removed"),
        ("rule:c", "added"),
    ]
    changed, removed, added = diff.changes
    assert [(each.field, each.old, each.new) for each in changed.fields] == [
        ("body.text", "one", "two"),
        ("refs.0", None, "rule:b"),
    ]
    assert removed.old == rule("b")
    assert removed.new is None
    assert ("title", None, "The rule c") in [(each.field, each.old, each.new) for each in added.fields]
    assert [change.change for change in base.diff("main", "main~1").changes] == ["changed", "added", "removed"]
    assert base.diff("main", "HEAD").changes == ()


# ── branches and tags ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_branch_starts_where_it_is_told_and_goes_its_own_way(base: KnowledgeBase, rule: MakeRule) -> None:
    first = put(base, rule("a"))
    put(base, rule("b"))
    assert base.branch("draft/1", at=first.id) == first
    put(base, rule("c"), branch="draft/1")
    assert list(base.snapshot("draft/1").items) == ["rule:a", "rule:c"]
    assert list(base.snapshot().items) == ["rule:a", "rule:b"]
    assert list(base.branches()) == ["draft/1", "main"]


def test_a_tag_stays_where_it_is(base: KnowledgeBase, rule: MakeRule) -> None:
    tagged = base.tag("v1")
    put(base, rule())
    assert base.resolve("v1") == tagged
    assert base.tags() == {"v1": tagged.id}
    with pytest.raises(AlreadyExists, match="tag 'v1'"):
        base.tag("v1")
    with pytest.raises(BranchNotFound):
        put(base, rule("b"), branch="v1")


@pytest.mark.parametrize("name", ["", "-x", "a b", "HEAD", "deadbeef", "main~1", "x\n", "../x", "x" * 101])
def test_a_branch_needs_a_usable_name(base: KnowledgeBase, name: str) -> None:
    for make in (base.branch, base.tag, lambda branch: base.reset_branch(branch, "main")):
        with pytest.raises(InvalidName):
            make(name)
    assert list(base.branches()) == ["main"]


def test_a_branch_is_made_once(base: KnowledgeBase) -> None:
    base.branch("draft")
    with pytest.raises(AlreadyExists, match="branch 'draft'"):
        base.branch("draft")


def test_a_deleted_branch_is_gone_and_its_commits_are_not(base: KnowledgeBase, rule: MakeRule) -> None:
    base.branch("draft")
    commit = put(base, rule(), branch="draft")
    base.delete_branch("draft")
    assert list(base.branches()) == ["main"]
    assert base.item("rule:utc", commit.id) == rule()
    for name in ("draft", "main"):
        with pytest.raises(BranchNotFound):
            base.delete_branch(name)


def test_fast_forward_moves_a_branch_to_a_descendant_only(base: KnowledgeBase, rule: MakeRule) -> None:
    start = base.resolve().id
    base.branch("draft")
    draft = put(base, rule("a"), branch="draft")
    base.fast_forward("main", "draft", expected=start)
    assert base.branches()["main"] == draft.id
    with pytest.raises(RefMoved):
        base.fast_forward("main", draft.id, expected=start)
    base.branch("side", at=start)
    side = put(base, rule("b"), branch="side")
    with pytest.raises(NotADescendant, match="cannot be fast-forwarded"):
        base.fast_forward("main", side.id, expected=draft.id)


def test_a_work_branch_can_be_reset_anywhere(base: KnowledgeBase, rule: MakeRule) -> None:
    commit = put(base, rule())
    base.reset_branch("work", commit.short_id)
    assert base.branches()["work"] == commit.id
    base.reset_branch("work", "main~1")
    base.reset_branch("work", "main~1")
    assert base.resolve("work") == base.resolve("main~1")


# ── revert ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_revert_undoes_one_commit_and_keeps_the_later_ones(base: KnowledgeBase, rule: MakeRule) -> None:
    put(base, rule("a", "one"), rule("b"))
    bad = base.commit(Changes((rule("a", "bad"), rule("c")), ("rule:b",)), author="ann", message="Bad")
    put(base, rule("d"))
    undone = base.revert(bad.short_id, author="bob")
    assert undone.evidence == {"reverts": bad.id}
    assert undone.message == f"Revert {bad.short_id}: Bad"
    items = base.snapshot().items
    assert list(items) == ["rule:a", "rule:b", "rule:d"]
    assert items["rule:a"] == rule("a", "one")


def test_a_revert_of_what_changed_again_is_a_conflict(base: KnowledgeBase, rule: MakeRule) -> None:
    bad = put(base, rule("a", "bad"))
    put(base, rule("a", "better"))
    with pytest.raises(Conflict, match="rule:a"):
        base.revert(bad.id, author="bob")


def test_a_revert_can_be_reverted_but_not_repeated(base: KnowledgeBase, rule: MakeRule) -> None:
    added = put(base, rule("a"))
    undone = base.revert(added.id, author="bob")
    with pytest.raises(Conflict):
        base.revert(added.id, author="bob")
    base.revert(undone.id, author="bob")
    assert base.item("rule:a") == rule("a")


def test_the_first_commit_cannot_be_reverted(base: KnowledgeBase) -> None:
    with pytest.raises(NothingToCommit):
        base.revert("main", author="bob")
