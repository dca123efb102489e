"""Hybrid retrieval with the real model, over a shop of five tables and knowledge of every kind."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kb.database import open_database, upgrade
from kb.embedding import SentenceEmbedder
from kb.items import (
    Column,
    Document,
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
from kb.retrieval import Limits, Retrieval, Retriever
from kb.sql_store import SqlStore


def table(name: str, *columns: str, database: str = "") -> Item:
    declared = tuple(Column(column, "text") for column in columns)
    prefix = f"{database}." if database else ""
    return Item(id=f"schema:{prefix}{name}", title=name, body=Schema(name, declared, database=database))


def join(left: str, left_column: str, right: str, right_column: str) -> Item:
    body = Relationship(left, (left_column,), right, (right_column,))
    return Item(id=f"relationship:{left}-{right}", title=f"{left} and {right}", body=body)


SHOP = [
    table("customers", "id", "name", "country"),
    table("orders", "id", "buyer_id", "state", "total"),
    table("lines", "order_id", "part_id", "quantity"),
    table("parts", "id", "description", "weight"),
    table("staff", "id", "surname", "manager_id"),
    join("orders", "buyer_id", "customers", "id"),
    join("lines", "order_id", "orders", "id"),
    join("lines", "part_id", "parts", "id"),
    join("staff", "manager_id", "staff", "id"),
    Item(id="metric:revenue", title="Revenue", body=Metric("The money of all orders that were paid.", "sum(total)")),
    Item(id="document:returns", title="Returns", body=Document("Goods can be sent back within thirty days.")),
    Item(id="rule:utc", title="UTC", body=Rule("Times are UTC.")),
    Item(id="preference:ann", title="Ann", body=Preference("Answer in euros.", "ann")),
    Item(id="preference:team", title="Team", body=Preference("Short answers.", "team:sales")),
    Item(
        id="gotcha:state",
        title="state",
        body=Gotcha("Use orders.state, not orders.status."),
        entities=(Entity("orders.state"), Entity("status")),
    ),
    Item(
        id="success:germany",
        title="Germany",
        body=Success("How many customers are in Germany?", "SELECT 1"),
        depends_on=("customers.country",),
    ),
    Item(id="template:top", title="Top", body=Template("Which 5 customers paid most?", "SELECT 2")),
]


class Counting:
    """The embedder, with every text it was asked for."""

    def __init__(self, embedder: SentenceEmbedder) -> None:
        self._embedder = embedder
        self.model, self.dimension = "counted", embedder.dimension
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked.extend(texts)
        return self._embedder.embed(texts)


def base_of(items: Sequence[Item]) -> KnowledgeBase:
    base = KnowledgeBase.create(MemoryStore(), "acme", "shop", author="ann")
    if items:
        base.commit(Changes(put=tuple(items)), author="ann", message="Start")
    return base


@pytest.fixture(scope="module")
def shop() -> KnowledgeBase:
    """Read it only."""
    return base_of(SHOP)


@pytest.fixture(scope="module")
def retriever(shop: KnowledgeBase, embedder: SentenceEmbedder) -> Retriever:
    return Retriever(shop.store, embedder)


def ids(retrieval: Retrieval) -> list[str]:
    return [hit.item.id for hit in retrieval.hits]


def changed(item_id: str, **fields: object) -> list[Item]:
    """The shop with one item changed."""
    return [replace(item, **fields) if item.id == item_id else item for item in SHOP]  # type: ignore[arg-type]


def ask(embedder: SentenceEmbedder, items: Sequence[Item], question: str, **options: object) -> Retrieval:
    base = base_of(items)
    return Retriever(base.store, embedder).retrieve(base, question, **options)  # type: ignore[arg-type]


def test_every_hit_says_why(shop: KnowledgeBase, retriever: Retriever) -> None:
    found = retriever.retrieve(shop, "How many customers are in Germany?", subjects=("ann",))
    assert all(hit.reasons and all(hit.reasons) for hit in found.hits)
    reasons = {hit.item.id: hit.reasons for hit in found.hits}
    assert "names 'customers'" in reasons["schema:customers"]
    assert reasons["rule:utc"] == ("always",)
    assert reasons["preference:ann"] == ("preference of ann",)
    assert reasons["success:germany"] == ("similar 1.00", "masked 1.00")


def test_hits_carry_the_content_hash_of_their_item(shop: KnowledgeBase, retriever: Retriever) -> None:
    hashes = shop.snapshot().hashes
    found = retriever.retrieve(shop, "orders")
    assert found.hits
    assert all(hit.item_hash == hashes[hit.item.id] for hit in found.hits)


def test_two_retrievers_find_the_same(shop: KnowledgeBase, retriever: Retriever, embedder: SentenceEmbedder) -> None:
    other = Retriever(shop.store, embedder)
    other.retrieve(shop, "something else before")
    for question in ("How many customers are in Germany?", "weight of the parts", "", "Which 3 customers paid most?"):
        assert other.retrieve(shop, question).hits == retriever.retrieve(shop, question).hits


def test_retrieval_at_an_old_commit_ignores_later_items(embedder: SentenceEmbedder) -> None:
    base = base_of(SHOP)
    retriever = Retriever(base.store, embedder)
    old = base.resolve().id
    before = retriever.retrieve(base, "shipments of carriers", revision=old).hits
    later = table("shipments", "id", "carrier")
    base.commit(Changes(put=(later,), remove=("schema:parts",)), author="ann", message="Later")
    assert "schema:shipments" in ids(retriever.retrieve(base, "shipments of carriers"))
    assert "schema:parts" not in ids(retriever.retrieve(base, "weight of parts"))
    assert retriever.retrieve(base, "shipments of carriers", revision=old).hits == before
    assert "schema:shipments" not in [hit.item.id for hit in before]
    assert "schema:parts" in ids(retriever.retrieve(base, "weight of parts", revision=f"{old}"))


@pytest.mark.parametrize(
    "fields", [{"status": "quarantined"}, {"status": "proposed"}, {"status": "retired"}, {"usage": "never"}], ids=str
)
@pytest.mark.parametrize(
    ("item_id", "question"),
    [
        ("schema:customers", "customers"),
        ("relationship:orders-customers", "orders of customers"),
        ("metric:revenue", "revenue of paid orders"),
        ("document:returns", "Can goods be sent back?"),
        ("rule:utc", "orders"),
        ("preference:ann", "orders"),
        ("gotcha:state", "status of orders"),
        ("success:germany", "How many customers are in Germany?"),
        ("template:top", "Which 5 customers paid most?"),
    ],
)
def test_what_is_not_active_or_never_to_be_used_is_never_retrieved(
    embedder: SentenceEmbedder,
    shop: KnowledgeBase,
    retriever: Retriever,
    item_id: str,
    question: str,
    fields: dict[str, object],
) -> None:
    assert item_id in ids(retriever.retrieve(shop, question, subjects=("ann",)))
    assert item_id not in ids(ask(embedder, changed(item_id, **fields), question, subjects=("ann",)))


@pytest.mark.parametrize("item_id", ["schema:staff", "document:returns", "gotcha:state", "success:germany"])
@pytest.mark.parametrize("limits", [None, Limits(per_kind={}), Limits(per_kind={"schema": 0})], ids=str)
def test_what_is_always_to_be_used_is_there_whatever_the_question_and_limits(
    embedder: SentenceEmbedder, item_id: str, limits: Limits | None
) -> None:
    found = ask(embedder, changed(item_id, usage="always"), "zebra crossing", limits=limits)
    (hit,) = [hit for hit in found.hits if hit.item.id == item_id]
    assert hit.reasons == ("always",)


def test_preferences_are_those_of_the_subjects_alone(shop: KnowledgeBase, retriever: Retriever) -> None:
    def preferences(*subjects: str) -> list[str]:
        return [h.item.id for h in retriever.retrieve(shop, "orders", subjects=subjects).of_kind("preference")]

    assert preferences() == preferences("bob") == []
    assert preferences("ann") == ["preference:ann"]
    assert preferences("bob", "team:sales") == ["preference:team"]


def test_a_gotcha_comes_with_its_entity_in_the_question(shop: KnowledgeBase, retriever: Retriever) -> None:
    (hit,) = retriever.retrieve(shop, "which status").of_kind("gotcha")
    assert hit.reasons == ("names 'status'",)


def test_a_gotcha_comes_with_what_was_retrieved(shop: KnowledgeBase, retriever: Retriever) -> None:
    (hit,) = retriever.retrieve(shop, "all orders").of_kind("gotcha")
    assert hit.reasons == ("about orders.state, retrieved as schema:orders",)


def test_a_gotcha_about_neither_stays_away(embedder: SentenceEmbedder) -> None:
    items = [table("staff", "surname"), next(item for item in SHOP if item.id == "gotcha:state")]
    assert ids(ask(embedder, items, "surname of staff")) == ["schema:staff"]


def test_a_misspelled_name_is_found_and_said_to_be_one(shop: KnowledgeBase, retriever: Retriever) -> None:
    (hit,) = [h for h in retriever.retrieve(shop, "custmers").hits if h.item.id == "schema:customers"]
    assert "names 'custmers' (misspelled)" in hit.reasons


def test_a_join_path_adds_the_table_between_and_its_joins(shop: KnowledgeBase, retriever: Retriever) -> None:
    limits = Limits(per_kind={"schema": 9, "relationship": 9}, near_best=0.5)
    found = retriever.retrieve(shop, "customers parts: customers country, parts weight", limits=limits)
    reasons = {hit.item.id: hit.reasons for hit in found.hits}
    assert reasons["schema:orders"] == reasons["schema:lines"] == ("joins customers and parts",) or reasons[
        "schema:orders"
    ] == ("joins parts and customers",)
    assert {hit.item.id for hit in found.of_kind("relationship")} == {
        "relationship:orders-customers",
        "relationship:lines-orders",
        "relationship:lines-parts",
    }


def test_a_table_joined_with_itself_brings_that_join(shop: KnowledgeBase, retriever: Retriever) -> None:
    found = retriever.retrieve(shop, "surname of the manager of each of the staff", limits=Limits(near_best=0.9))
    (hit,) = found.of_kind("relationship")
    assert (hit.item.id, hit.reasons) == ("relationship:staff-staff", ("joins staff and itself",))


def test_no_join_names_a_table_that_the_limit_cut_off(shop: KnowledgeBase, retriever: Retriever) -> None:
    for limit in range(5):
        limits = Limits(per_kind={"schema": limit, "relationship": 9}, near_best=0.0)
        found = retriever.retrieve(shop, "customers orders lines parts", limits=limits)
        tables = {hit.item.body.table for hit in found.hits if isinstance(hit.item.body, Schema)}
        for hit in found.of_kind("relationship"):
            assert isinstance(hit.item.body, Relationship)
            assert {hit.item.body.left_table, hit.item.body.right_table} <= tables


def test_no_gotcha_is_about_a_table_that_the_limit_cut_off(embedder: SentenceEmbedder) -> None:
    crowd = [table(f"t{number}", "amount") for number in range(9)]
    odd = table("t9", "zzz")
    success = Item("success:s", "s", Success("What is the amount?", "SELECT zzz FROM t9"), refs=("schema:t9",))
    mind = Item("gotcha:zzz", "zzz", Gotcha("t9.zzz is in cents."), entities=(Entity("t9.zzz"),))
    for tables in (3, 20):
        limits = Limits(per_kind={"schema": tables, "success": 1, "gotcha": 3}, near_best=0.0)
        found = ids(ask(embedder, [*crowd, odd, success, mind], "What is the amount of each?", limits=limits))
        assert ("gotcha:zzz" in found) is ("schema:t9" in found) is (tables == 20)


def test_tables_of_a_found_success_are_added_though_others_are_more_like_the_question(
    embedder: SentenceEmbedder,
) -> None:
    question = "How much is in stock at the warehouse?"
    crowd = [table(f"warehouse_stock_{name}", "stock", "warehouse") for name in "abcdefgh"]
    odd = table("t9", "x", "y")
    success = Item(id="success:s", title="s", body=Success(question, "SELECT x FROM t9"), depends_on=("t9.x",))
    assert "schema:t9" not in ids(ask(embedder, [*crowd, odd], question))
    found = ask(embedder, [*crowd, odd, success], question)
    (hit,) = [hit for hit in found.hits if hit.item.id == "schema:t9"]
    assert hit.reasons == ("used by success:s",)


def test_tables_a_metric_refers_to_are_added(embedder: SentenceEmbedder) -> None:
    items = changed("metric:revenue", refs=("schema:staff",))
    found = ask(embedder, items, "revenue, the money of all orders that were paid", limits=Limits(near_best=0.8))
    (hit,) = [hit for hit in found.hits if hit.item.id == "schema:staff"]
    assert hit.reasons == ("used by metric:revenue",)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("Mind the `parts` when you do.", {}),
        ("Mind parts.weight when you do.", {}),
        ("Mind this when you do.", {"depends_on": ("parts.weight",)}),
        ("Mind this when you do.", {"refs": ("schema:parts",)}),
    ],
)
def test_a_document_about_a_likely_table_comes_before_one_that_is_as_like(
    embedder: SentenceEmbedder, text: str, fields: dict[str, object]
) -> None:
    about = Item(id="document:b", title="x", body=Document(text), **fields)  # type: ignore[arg-type]
    other = Item(id="document:a", title="x", body=Document(text.replace("parts", "them").replace(".weight", "")))
    found = ask(embedder, [*SHOP, about, other], "weight of the parts", limits=Limits(floor=-1.0))
    order = [hit.item.id for hit in found.of_kind("document")]
    assert order.index("document:b") < order.index("document:a")
    (hit,) = [hit for hit in found.hits if hit.item.id == "document:b"]
    assert any(reason.startswith("its tables 0.") for reason in hit.reasons)


def test_the_score_of_a_table_is_a_chance_and_its_database_is_told(embedder: SentenceEmbedder) -> None:
    items = [table("patients", "diagnosis", database="clinic"), table("lessons", "teacher", database="school")]
    found = ask(embedder, items, "diagnosis of the patients", limits=Limits(near_best=0))
    best, other = found.of_kind("schema")
    assert (best.item.id, other.item.id) == ("schema:clinic.patients", "schema:school.lessons")
    assert 0.5 < best.score < 1
    assert other.score < 0.05
    assert best.reasons[-1] == "database clinic 1.00"


def test_limits_hold_for_every_kind_and_keep_the_best(shop: KnowledgeBase, retriever: Retriever) -> None:
    everything = retriever.retrieve(shop, "customers orders", limits=Limits(near_best=0.0, floor=-1.0))
    for kind in ("schema", "metric", "document", "rule", "gotcha", "relationship"):
        assert everything.of_kind(kind), kind
    narrow = Limits(per_kind={"schema": 2, "metric": 1}, near_best=0.0, floor=-1.0)
    found = retriever.retrieve(shop, "customers orders", limits=narrow)
    assert [hit.item.id for hit in found.of_kind("schema")] == [h.item.id for h in everything.of_kind("schema")][:2]
    assert {hit.item.kind for hit in found.hits} == {"schema", "metric", "rule"}  # a rule always applies


def test_hits_of_a_kind_come_best_first(shop: KnowledgeBase, retriever: Retriever) -> None:
    scores = [hit.score for hit in retriever.retrieve(shop, "customers", limits=Limits(near_best=0)).of_kind("schema")]
    assert len(scores) == 5
    assert scores == sorted(scores, reverse=True)


def test_tables_of_the_database_a_question_is_about_are_preferred(embedder: SentenceEmbedder) -> None:
    items = [table("people", "id", "name", database="clinic"), table("people", "id", "name", database="school")]
    items += [table("patients", "diagnosis", database="clinic"), table("classrooms", "teacher", database="school")]
    found = ask(embedder, items, "name of people with a diagnosis, as patients", limits=Limits(near_best=0))
    order = [hit.item.id for hit in found.of_kind("schema")]
    assert order.index("schema:clinic.people") < order.index("schema:school.people")


def embedded(retriever: Retriever) -> int:
    """Texts in the dense index."""
    assert retriever._indexes is not None
    return len(retriever._indexes.dense)


def test_the_index_holds_a_text_once_across_commits_and_embeds_only_what_is_new(embedder: SentenceEmbedder) -> None:
    base, counting = base_of(SHOP), Counting(embedder)
    retriever = Retriever(base.store, counting)
    retriever.retrieve(base, "orders")
    # 5 tables, metric and document; success and template, each as asked and masked.
    assert len(counting.asked) - 2 == embedded(retriever) == 7 + 2 * 2
    counting.asked.clear()
    base.commit(Changes(put=(table("shipments", "id", "carrier"),)), author="ann", message="More")
    retriever.retrieve(base, "orders")
    assert counting.asked == ["shipments: id, carrier"]
    assert embedded(retriever) == 12
    counting.asked.clear()
    base.commit(Changes(remove=("schema:shipments",)), author="ann", message="Less")
    retriever.retrieve(base, "orders")
    assert counting.asked == []
    assert embedded(retriever) == 12


def test_another_process_embeds_nothing_anew(embedder: SentenceEmbedder, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/kb.sqlite"
    counting = Counting(embedder)
    found = []
    for start in (True, False):
        database = open_database(url)
        if start:
            upgrade(database)
            base = KnowledgeBase.create(SqlStore(database), "acme", "shop", author="ann")
            base.commit(Changes(put=tuple(SHOP)), author="ann", message="Start")
        base = KnowledgeBase(SqlStore(database), "acme", "shop")
        counting.asked.clear()
        found.append(Retriever(base.store, counting).retrieve(base, "orders").hits)
        database.dispose()
    assert counting.asked == ["orders", "<name>"]
    assert found[0] == found[1]


WEIRD = [
    "",
    " ",
    "?!…",
    "x" * 10_000,
    "orders " * 1_500,
    "👍🏽 orders 👎",
    "\u202e\u0627\u0644\u0637\u0644\u0628\u0627\u062a",
]
WEIRD += ["\ufdfa", "a\0b orders", "\ud800 orders", "'\"“’", "' OR 1=1 --", "\n\t\r"]


@pytest.mark.parametrize("question", WEIRD, ids=lambda question: ascii(question)[:24])
def test_any_text_is_a_question(shop: KnowledgeBase, retriever: Retriever, question: str) -> None:
    found = retriever.retrieve(shop, question)
    assert "rule:utc" in ids(found)
    assert found.question.question == question
    assert ("orders" in question) == ("schema:orders" in ids(retriever.retrieve(shop, question, limits=NAMED)))


NAMED = Limits(near_best=0.95)
"""Few enough tables that one which the question names is told from the rest."""


@pytest.mark.parametrize("question", ["", "orders", "?"])
def test_an_empty_base_has_nothing(embedder: SentenceEmbedder, question: str) -> None:
    assert ask(embedder, [], question).hits == ()


def test_a_follow_up_finds_what_the_question_before_it_is_about(shop: KnowledgeBase, retriever: Retriever) -> None:
    follow_up = "How many of them are there?"
    first = retriever.retrieve(shop, follow_up, follows="Which parts are the heaviest?").of_kind("schema")[0]
    assert first.item.id == "schema:parts"
    assert retriever.retrieve(shop, follow_up).of_kind("schema")[:1] != (first,)


def test_tables_and_columns_are_those_of_the_commit(shop: KnowledgeBase, retriever: Retriever) -> None:
    assert retriever.tables(shop)["customers"] == ("id", "name", "country")
    assert retriever.tables(shop, revision="main~1") == {}


def test_many_threads_that_need_one_commit_make_its_index_once(embedder: SentenceEmbedder) -> None:
    base, counting = base_of(SHOP), Counting(embedder)
    retriever = Retriever(base.store, counting)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: retriever.retrieve(base, "customers orders").hits, range(16)))
    assert all(hits == found[0] for hits in found)
    of_items = [text for text in counting.asked if text not in ("customers orders", "<name> <name>")]
    assert of_items
    assert len(of_items) == len(set(of_items))
