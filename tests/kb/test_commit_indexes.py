"""An index that was derived from another commit's finds what one that was made for its commit alone finds."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kb.commit_index import CommitIndex
from kb.database import open_database, upgrade
from kb.errors import CommitNotFound, ObjectCorrupt
from kb.gc import gc
from kb.items import (
    Column,
    Entity,
    Gotcha,
    Item,
    Metric,
    Preference,
    Relationship,
    Rule,
    Schema,
    Success,
    Template,
)
from kb.knowledge_base import Changes, KnowledgeBase
from kb.memory_store import MemoryStore
from kb.retrieval import KEPT_CHARACTERS, Limits, Retriever
from kb.sql_store import SqlStore
from kb.store import BaseId, Store
from kb.words import stems

WORDS = "orders order state customer customers paid total region cusomer totall".split()
QUESTIONS = [
    "How many orders per state?",
    "total of custmers in the region, paid",
    "What is the state of customer orders?",
    "regions of orders that were paid in 2024",
]
EVERYTHING = Limits(
    per_kind=dict.fromkeys(("schema", "relationship", "metric", "document", "gotcha", "template", "success"), 5),
    near_best=0.0,
    pattern_floor=0.3,
)


class BagOfStems:
    """A vector a stem, added up: quick, and the same for the same words."""

    model, dimension = "stems", 16

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked.extend(texts)
        return np.stack([self._vector(text) for text in texts]) if texts else np.zeros((0, 16), dtype=np.float32)

    def _vector(self, text: str) -> NDArray[np.float32]:
        vector = np.full(self.dimension, 0.01)
        for stem in stems(text):
            seed = int.from_bytes(hashlib.sha256(stem.encode()).digest()[:4], "big")
            vector += np.random.default_rng(seed).standard_normal(self.dimension)
        return (vector / np.linalg.norm(vector)).astype(np.float32)


_word = st.sampled_from(WORDS)
_phrase = st.lists(_word, min_size=1, max_size=5).map(" ".join)
_entities = st.lists(st.builds(Entity, _word, st.lists(_word, max_size=1).map(tuple)), max_size=2).map(tuple)
_columns = st.lists(st.builds(Column, _word, st.just("text"), samples=st.just(())), max_size=2).map(tuple)
_bodies = st.one_of(
    st.builds(Schema, _word, _columns, database=st.sampled_from(["", "shop"])),
    st.builds(Relationship, _word, st.just(("a",)), _word, st.just(("b",)), database=st.sampled_from(["", "shop"])),
    st.builds(Metric, _phrase),
    st.builds(Gotcha, _phrase),
    st.builds(Success, _phrase, st.just("SELECT 1")),
    st.builds(Template, _phrase, st.just("SELECT 2")),
    st.builds(Rule, _phrase),
    st.builds(Preference, _phrase, st.sampled_from(["ann", "bob"])),
)
_items = st.builds(
    lambda number, body, **head: Item(id=f"{body.kind}:{number}", title="x", body=body, **head),
    st.integers(0, 3),
    _bodies,
    entities=_entities,
    depends_on=st.lists(_word.map(lambda word: f"{word}.total"), max_size=1).map(tuple),
    usage=st.sampled_from(["auto", "auto", "auto", "always", "never"]),
    status=st.sampled_from(["active", "active", "active", "quarantined"]),
)
_commits = st.lists(st.tuples(st.lists(_items, max_size=6), st.sets(st.integers(0, 31))), min_size=1, max_size=6)


def committed(base: KnowledgeBase, put: Sequence[Item], removed: Collection[int]) -> None:
    """Puts the items, and removes those of the known ones whose number was drawn."""
    known = sorted(base.snapshot().items)
    last = {item.id: item for item in put}
    remove = tuple(item_id for place, item_id in enumerate(known) if place in removed and item_id not in last)
    items = base.snapshot().items
    if remove or any(items.get(item_id) != item for item_id, item in last.items()):
        base.commit(Changes(tuple(last.values()), remove), author="ann", message="x")


def new_base(*items: Item) -> KnowledgeBase:
    base = KnowledgeBase.create(MemoryStore(), "acme", "shop", author="ann")
    if items:
        base.commit(Changes(items), author="ann", message="Start")
    return base


def everything(retriever: Retriever, base: KnowledgeBase, revision: str) -> list[object]:
    found: list[object] = [dict(sorted(retriever.patterns(base, revision=revision).items()))]
    found.append(retriever.tables(base, revision=revision))
    for question in QUESTIONS:
        retrieval = retriever.retrieve(base, question, revision=revision, subjects=("ann",), limits=EVERYTHING)
        found += [retrieval.hits, retrieval.question, retrieval.mentions]
    return found


@settings(max_examples=60, deadline=None)
@given(_commits, st.randoms(use_true_random=False))
def test_in_whatever_order_commits_are_asked_for_each_finds_what_its_own_index_finds(
    commits: list[tuple[list[Item], set[int]]], order: object
) -> None:
    base = new_base()
    for put, removed in commits:
        committed(base, put, removed)
    revisions = [commit.id for commit in base.log()]
    order.shuffle(revisions)  # type: ignore[attr-defined]
    shared = Retriever(base.store, BagOfStems(), kept=2)
    for revision in revisions:
        alone = Retriever(MemoryStore(), BagOfStems())
        assert everything(shared, base, revision) == everything(alone, base, revision)


@settings(max_examples=20, deadline=None)
@given(_commits, st.randoms(use_true_random=False))
def test_what_is_kept_of_earlier_questions_changes_no_later_one(
    commits: list[tuple[list[Item], set[int]]], order: object
) -> None:
    base = new_base()
    for put, removed in commits:
        committed(base, put, removed)
    shared = Retriever(base.store, BagOfStems(), kept=2)
    alone = Retriever(base.store, BagOfStems(), kept=1)
    asked = [(commit.id, question) for commit in base.log(limit=3) for question in QUESTIONS]
    first = {each: alone.retrieve(base, each[1], revision=each[0], limits=EVERYTHING) for each in asked}
    again = asked * 2
    order.shuffle(again)  # type: ignore[attr-defined]
    for revision, question in again:
        found = shared.retrieve(base, question, revision=revision, limits=EVERYTHING)
        assert found == first[revision, question]


def table(name: str, *columns: str, item_id: str = "") -> Item:
    return Item(item_id or f"schema:{name}", name, Schema(name, tuple(Column(column, "text") for column in columns)))


@pytest.mark.parametrize(
    ("question", "named", "masked"),
    [
        ("how many vessels", table("vessels"), "how many <name>"),
        ("how many vesels", table("vessels"), "how many <name>"),
        ("how many vesels", table("vessel"), "how many <name>"),
        ("by port code", table("x", "port_code"), "by <name>"),
        ("by portCode", table("x", "portCode"), "by <name>"),
    ],
)
def test_a_name_that_comes_and_goes_masks_and_unmasks_the_questions_that_are_there(
    question: str, named: Item, masked: str
) -> None:
    base = new_base(Item("success:s", "s", Success(question, "SELECT 1")))
    retriever = Retriever(base.store, BagOfStems())
    assert retriever.patterns(base)["success:s"].text == question
    base.commit(Changes(put=(named,)), author="ann", message="Name")
    assert retriever.patterns(base)["success:s"].text == masked
    base.commit(Changes(remove=(named.id,)), author="ann", message="No name")
    assert retriever.patterns(base)["success:s"].text == question
    assert retriever.patterns(base, revision="main~1")["success:s"].text == masked


def test_a_name_that_another_item_still_has_stays() -> None:
    success = Item("success:s", "s", Success("how many vessels", "SELECT 1"))
    base = new_base(success, table("vessels"), table("vessels", item_id="schema:other"))
    retriever = Retriever(base.store, BagOfStems())
    assert retriever.patterns(base)["success:s"].text == "how many <name>"
    base.commit(Changes(remove=("schema:other",)), author="ann", message="One of two")
    assert retriever.patterns(base)["success:s"].text == "how many <name>"


def test_a_commit_masks_only_the_questions_that_its_names_touch(monkeypatch: pytest.MonkeyPatch) -> None:
    successes = [Item(f"success:{n}", "s", Success(f"question {n} of vessels", "SELECT 1")) for n in range(20)]
    base = new_base(*successes, Item("success:ports", "s", Success("how many ports", "SELECT 1")))
    retriever = Retriever(base.store, BagOfStems())
    retriever.prepare(base)
    masked: list[str] = []
    real = CommitIndex.mask
    monkeypatch.setattr(CommitIndex, "mask", lambda index, text: masked.append(text) or real(index, text))
    base.commit(Changes(put=(table("ports"),)), author="ann", message="Ports")
    retriever.prepare(base)
    assert masked == ["how many ports"]
    masked.clear()
    base.commit(Changes(put=(Item("rule:r", "r", Rule("Count ports once.")),)), author="ann", message="Rule")
    retriever.prepare(base)
    assert masked == []


class CountingStore(MemoryStore):
    """Counts the objects that are read."""

    def __init__(self) -> None:
        super().__init__()
        self.objects_read = 0

    def read(self, base: BaseId, object_ids: Collection[str]) -> dict[str, bytes]:
        self.objects_read += len(object_ids)
        return super().read(base, object_ids)


def test_what_a_commit_reads_and_embeds_does_not_grow_with_the_base() -> None:
    read, asked = [], []
    for size in (300, 3000):
        store, embedder = CountingStore(), BagOfStems()
        base = KnowledgeBase.create(store, "acme", "shop", author="ann")
        rules = tuple(Item(f"metric:{n}", "m", Metric(f"metric {n}")) for n in range(size))
        base.commit(Changes(rules), author="ann", message="Start")
        retriever = Retriever(store, embedder)
        retriever.prepare(base)
        base.commit(Changes((Item("metric:new", "m", Metric("ports")),)), author="ann", message="One more")
        store.objects_read, embedder.asked = 0, []
        retriever.prepare(base)
        read.append(store.objects_read)
        asked.append(embedder.asked)
    assert asked == [["m. ports"], ["m. ports"]]
    # The commit, its parent, two paths through the tree and the item: one more node deep for ten times the items.
    assert read[1] <= read[0] + 2 < 20


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    sqlite = f"sqlite:///{tmp_path}/state.sqlite"
    engine = open_database(sqlite if request.param == "sqlite" else request.getfixturevalue("fresh_postgres"))
    upgrade(engine)
    yield SqlStore(engine)
    engine.dispose()


class Recorded:
    """A store, with the names of the methods that were called."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> object:
        self.calls.append(name)
        return getattr(self._store, name)


def test_a_commit_that_was_asked_for_is_asked_again_without_a_word_to_the_store(store: Store) -> None:
    recorded: Any = Recorded(store)
    base = KnowledgeBase.create(recorded, "acme", "shop", author="ann")
    commit = base.commit(Changes((table("orders", "state"),)), author="ann", message="x")
    retriever = Retriever(recorded, BagOfStems())
    first = retriever.retrieve(base, "orders")
    hashes = [hit.item_hash for hit in first.hits]
    recorded.calls.clear()
    assert retriever.retrieve(base, "orders", revision=commit.id) == first
    assert list(retriever.tables(base, revision=commit.id)) == ["orders"]
    assert retriever.items(base, hashes) == {hit.item_hash: hit.item for hit in first.hits}
    assert recorded.calls == []
    # Where a branch stands may have changed, so that alone is read.
    assert retriever.retrieve(base, "orders", revision="main") == first
    assert recorded.calls == ["refs"]


def test_a_branch_that_another_process_moved_is_followed_at_once(store: Store) -> None:
    base = KnowledgeBase.create(store, "acme", "shop", author="ann")
    retriever = Retriever(store, BagOfStems())
    other = KnowledgeBase(store, "acme", "shop")
    for number in range(3):
        commit = other.commit(Changes((table(f"t{number}"),)), author="bob", message="x")
        assert retriever.retrieve(base, "t0").commit == commit
        assert len(retriever.tables(base)) == number + 1
    other.branch("draft", "main~1")
    assert len(retriever.tables(base, revision="draft")) == 2
    assert len(retriever.tables(base, revision="main~2")) == 1
    with pytest.raises(CommitNotFound):
        retriever.tables(base, revision="0" * 64)
    with pytest.raises(CommitNotFound):
        retriever.tables(base, revision="drift")


def test_a_collected_commit_answers_for_as_long_as_its_index_is_kept_and_is_unknown_to_others(store: Store) -> None:
    base = KnowledgeBase.create(store, "acme", "shop", author="ann")
    base.branch("draft")
    commit = base.commit(Changes((table("orders"),)), author="ann", message="x", branch="draft")
    retriever = Retriever(store, BagOfStems())
    first = retriever.retrieve(base, "orders", revision="draft")
    base.delete_branch("draft")
    assert gc(base, grace_seconds=-60).deleted > 0
    assert retriever.retrieve(base, "orders", revision=commit.id) == first
    for ask in (base.resolve, lambda revision: Retriever(store, BagOfStems()).tables(base, revision=revision)):
        with pytest.raises(CommitNotFound):
            ask(commit.id)


def test_an_item_by_its_hash_is_of_this_base_whether_or_not_its_index_holds_it(store: Store) -> None:
    bases = [KnowledgeBase.create(store, tenant, "shop", author="x") for tenant in ("acme", "umbrella")]
    retired = Item("rule:old", "Old", Rule("Count twice."), status="retired")
    bases[0].commit(Changes((table("orders"), retired)), author="x", message="x")
    retriever = Retriever(store, BagOfStems())
    retriever.prepare(bases[0])
    hashes = bases[0].snapshot().hashes
    assert set(retriever.items(bases[0], hashes.values()).values()) == {table("orders"), retired}
    assert retriever.items(bases[0], []) == {}
    for item_hash in hashes.values():
        with pytest.raises(ObjectCorrupt, match="is missing"):
            retriever.items(bases[1], [item_hash])
    with pytest.raises(CommitNotFound):
        retriever.retrieve(bases[1], "orders", revision=bases[0].resolve().id)


def test_a_question_is_embedded_once_a_base_unless_it_is_very_long() -> None:
    store, embedder = MemoryStore(), BagOfStems()
    bases = [KnowledgeBase.create(store, tenant, "shop", author="x") for tenant in ("acme", "umbrella")]
    retriever = Retriever(store, embedder)
    long = "orders " * KEPT_CHARACTERS
    for question, times in (("total", 1), (long, 2)):
        for base in bases:
            embedder.asked.clear()
            found = [retriever.retrieve(base, question) for _ in range(2)]
            assert found[0] == found[1]
            assert embedder.asked == [question, question] * times


def test_many_confirmed_questions_are_compared_beside_and_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    successes = [Item(f"success:{n}", "x", Success(text, "SELECT 1")) for n, text in enumerate(QUESTIONS)]
    base = new_base(table("orders"), *successes)
    found = []
    for few in (0, len(successes)):
        monkeypatch.setattr("kb.retrieval._FEW_PATTERNS", few)
        retriever = Retriever(base.store, BagOfStems())
        found.append([retriever.retrieve(base, question).hits for question in QUESTIONS])
        assert bool(retriever._beside._threads) == (few == 0)
    assert found[0] == found[1]
    assert all(any(hit.item.kind == "success" for hit in hits) for hits in found[0])


def test_two_bases_and_two_tenants_share_texts_and_not_items() -> None:
    store, embedder = MemoryStore(), BagOfStems()
    bases = [KnowledgeBase.create(store, tenant, "shop", author="x") for tenant in ("acme", "umbrella")]
    shared, own = table("orders"), table("secrets", "orders")
    bases[0].commit(Changes((shared,)), author="x", message="x")
    bases[1].commit(Changes((shared, own)), author="x", message="x")
    retriever = Retriever(store, embedder)
    for _ in range(2):
        found = [[h.item.id for h in retriever.retrieve(base, "orders", limits=EVERYTHING).hits] for base in bases]
        assert found == [["schema:orders"], ["schema:orders", "schema:secrets"]]
    assert embedder.asked.count("orders: ") + embedder.asked.count("orders:") <= 1


def test_a_commit_that_was_forgotten_is_found_again_from_another() -> None:
    base = new_base(table("orders"))
    for number in range(6):
        base.commit(Changes((table(f"orders{number}"),)), author="ann", message="x")
    retriever = Retriever(base.store, BagOfStems(), kept=1)
    asked = [f"main~{steps}" for steps in (0, 6, 3, 1, 0, 5)]
    sizes = [len(retriever.tables(base, revision=revision)) for revision in asked]
    assert sizes == [7, 1, 4, 6, 7, 2]


def test_a_base_that_was_not_asked_for_long_is_forgotten_and_found_again_without_embedding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kb.retrieval.KEPT_BASES", 2)
    store, embedder = MemoryStore(), BagOfStems()
    bases = [KnowledgeBase.create(store, "acme", name, author="x") for name in ("a", "b", "c")]
    for base in bases:
        base.commit(Changes((table(f"orders_{base.name}"),)), author="x", message="x")
    retriever = Retriever(store, embedder)
    for base in (*bases, *bases):
        assert list(retriever.tables(base)) == [f"orders_{base.name}"]
    assert len(embedder.asked) == 3
    assert retriever._indexes is not None
    assert len(retriever._indexes._bases) == 2
