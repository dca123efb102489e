"""The order of hits, and where limits cut it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kb.embedding import SentenceEmbedder
from kb.items import (
    Document,
    Item,
)
from kb.knowledge_base import KnowledgeBase
from kb.retrieval import Limits, Retrieval, Retriever

from .shop import SHOP, ask, table


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


def test_a_table_has_to_be_worth_its_place_unless_it_is_the_likeliest(
    shop: KnowledgeBase, retriever: Retriever
) -> None:
    wide = Limits(near_best=0.0, floor=-1.0)
    likeliest, *others = [hit.item.id for hit in retriever.retrieve(shop, "customers", limits=wide).of_kind("schema")]
    assert others
    found = retriever.retrieve(shop, "customers", limits=replace(wide, worth=lambda _: False))
    assert [hit.item.id for hit in found.of_kind("schema")] == [likeliest]
    assert found.of_kind("metric", "document")
    assert [hit.item.id for hit in _customers(retriever, shop, others[0]).of_kind("schema")] == [likeliest, others[0]]


def _customers(retriever: Retriever, shop: KnowledgeBase, worth: str) -> Retrieval:
    limits = Limits(near_best=0.0, floor=-1.0, worth=lambda hit: hit.item.id == worth)
    return retriever.retrieve(shop, "customers", limits=limits)


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
