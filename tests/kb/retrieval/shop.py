"""A shop of five tables and knowledge of every kind, to retrieve from with the real model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

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
from kb.retrieval import Retrieval, Retriever


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


def ids(retrieval: Retrieval) -> list[str]:
    return [hit.item.id for hit in retrieval.hits]


def changed(item_id: str, **fields: object) -> list[Item]:
    """The shop with one item changed."""
    return [replace(item, **fields) if item.id == item_id else item for item in SHOP]  # type: ignore[arg-type]


def ask(embedder: SentenceEmbedder, items: Sequence[Item], question: str, **options: object) -> Retrieval:
    base = base_of(items)
    return Retriever(base.store, embedder).retrieve(base, question, **options)  # type: ignore[arg-type]
