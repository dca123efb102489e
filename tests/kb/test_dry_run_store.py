"""A dry run reads what is there, goes on from what it wrote itself, and leaves all of it as it was."""

from __future__ import annotations

import numpy as np
import pytest

from kb.dry_run_store import DryRunStore
from kb.errors import AlreadyExists, BaseNotFound
from kb.items import Item, Rule
from kb.knowledge_base import Changes, KnowledgeBase
from kb.memory_store import MemoryStore
from kb.merge import merge


def put(base: KnowledgeBase, name: str, *, branch: str = "main") -> str:
    item = Item(f"rule:{name}", name, Rule(name))
    return base.commit(Changes(put=(item,)), author="ann", message=name, branch=branch).id


@pytest.fixture
def below() -> MemoryStore:
    store = MemoryStore()
    base = KnowledgeBase.create(store, "acme", "sales", author="ann")
    put(base, "first")
    base.branch("draft")
    put(base, "second", branch="draft")
    return store


def test_commits_and_merges_go_on_from_what_is_there_and_are_forgotten(below: MemoryStore) -> None:
    real = KnowledgeBase(below, "acme", "sales")
    before, objects = real.branches(), {each.id for each in below.objects(real.id)}
    base = KnowledgeBase(DryRunStore(below), "acme", "sales")
    third = put(base, "third")
    merged = merge(base, "draft", author="ann")
    assert set(base.snapshot().items) == {"rule:first", "rule:second", "rule:third"}
    assert merged.commit.parents == (third, before["draft"])
    assert base.resolve(third[:12]).id == third
    assert (real.branches(), {each.id for each in below.objects(real.id)}) == (before, objects)


def test_a_base_and_vectors_that_it_made_are_its_own(below: MemoryStore) -> None:
    store = DryRunStore(below)
    with pytest.raises(AlreadyExists):
        KnowledgeBase.create(store, "acme", "sales", author="ann")
    base = KnowledgeBase.create(store, "acme", "hr", author="ann")
    put(base, "first")
    store.put_vectors("model", {"text": np.ones(2, dtype=np.float32)})
    assert store.bases("acme") == ["hr", "sales"]
    assert set(base.snapshot().items) == {"rule:first"}
    assert store.vectors("model", ["text"])["text"].tolist() == [1.0, 1.0]
    assert (below.bases("acme"), below.vectors("model", ["text"])) == (["sales"], {})
    with pytest.raises(BaseNotFound):
        KnowledgeBase(store, "other", "sales")
