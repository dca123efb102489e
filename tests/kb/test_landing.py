"""Who has a say before a branch moves finds the commit written and the branch where it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kb.errors import RefMoved
from kb.items import Item, Rule
from kb.knowledge_base import Changes, KnowledgeBase
from kb.memory_store import MemoryStore
from kb.store import BaseId


class Told:
    """A landing of `main` that tells what it saw, and moves the branch itself where `come_first` says so."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, set[str]]] = []
        self.failed: list[str] = []
        self.come_first: list[Item] = []

    def concerns(self, base: BaseId, branch: str) -> bool:
        return branch == "main"

    @contextmanager
    def before(self, base: KnowledgeBase, branch: str, head: str, commit: str) -> Iterator[None]:
        assert base.head(branch).id == head
        self.seen.append((head, commit, set(base.snapshot(commit).items)))
        if self.come_first:
            plain = KnowledgeBase(base.store, base.id.tenant, base.name)
            plain.commit(Changes((self.come_first.pop(),)), author="bob", message="First")
        try:
            yield
        except RefMoved:
            self.failed.append(commit)
            raise


def rule(name: str) -> Item:
    return Item(f"rule:{name}", name, Rule(name))


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def base(told: Told) -> KnowledgeBase:
    store = MemoryStore()
    KnowledgeBase.create(store, "acme", "sales", author="ann")
    return KnowledgeBase(store, "acme", "sales", landing=told)


def test_a_commit_and_a_fast_forward_are_seen_before_they_are_the_head(base: KnowledgeBase, told: Told) -> None:
    first = base.head().id
    second = base.commit(Changes((rule("a"),)), author="ann", message="a").id
    base.branch("draft")
    third = base.commit(Changes((rule("b"),)), author="ann", message="b", branch="draft").id
    base.fast_forward("main", third, expected=second)
    assert told.seen == [(first, second, {"rule:a"}), (second, third, {"rule:a", "rule:b"})]
    assert base.head().id == third


def test_where_another_comes_first_it_is_seen_again_on_top(base: KnowledgeBase, told: Told) -> None:
    told.come_first = [rule("theirs")]
    landed = base.commit(Changes((rule("ours"),)), author="ann", message="ours")
    assert [items for _, _, items in told.seen] == [{"rule:ours"}, {"rule:ours", "rule:theirs"}]
    assert told.failed == [told.seen[0][1]]
    assert base.head().id == landed.id


def test_what_raises_there_leaves_the_branch(base: KnowledgeBase, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    head = base.head().id
    monkeypatch.setattr(told, "seen", None)
    with pytest.raises(AttributeError):
        base.commit(Changes((rule("a"),)), author="ann", message="a")
    assert base.head().id == head
