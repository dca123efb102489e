"""What comes along: gotchas, joins, and the tables that a hit is about."""

from __future__ import annotations

from kb.embedding import SentenceEmbedder
from kb.items import (
    Entity,
    Gotcha,
    Item,
    Relationship,
    Schema,
    Success,
)
from kb.knowledge_base import KnowledgeBase
from kb.retrieval import Limits, Retriever

from .shop import SHOP, ask, changed, ids, table


def test_a_gotcha_comes_with_its_entity_in_the_question(shop: KnowledgeBase, retriever: Retriever) -> None:
    (hit,) = retriever.retrieve(shop, "which status").of_kind("gotcha")
    assert hit.reasons == ("names 'status'",)


def test_a_gotcha_comes_with_what_was_retrieved(shop: KnowledgeBase, retriever: Retriever) -> None:
    (hit,) = retriever.retrieve(shop, "all orders").of_kind("gotcha")
    assert hit.reasons == ("about orders.state, retrieved as schema:orders",)


def test_a_gotcha_about_neither_stays_away(embedder: SentenceEmbedder) -> None:
    items = [table("staff", "surname"), next(item for item in SHOP if item.id == "gotcha:state")]
    assert ids(ask(embedder, items, "surname of staff")) == ["schema:staff"]


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
