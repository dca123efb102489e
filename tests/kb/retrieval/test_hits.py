"""What is retrieved at a commit, and that every hit says why."""

from __future__ import annotations

import pytest

from kb.embedding import SentenceEmbedder
from kb.knowledge_base import Changes, KnowledgeBase
from kb.retrieval import Limits, Retriever

from .shop import SHOP, ask, base_of, changed, ids, table


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


def test_tables_and_columns_are_those_of_the_commit(shop: KnowledgeBase, retriever: Retriever) -> None:
    assert retriever.tables(shop)["customers"] == ("id", "name", "country")
    assert retriever.tables(shop, revision="main~1") == {}
