"""Recall of the joins that a question needs: relationships between two of its needed tables, as a prompt gets them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from evals.bench.bootstrap import mean_interval
from evals.bench.row import Row
from evals.bench.spider import TableQuestion
from kb.embedding import Embedder
from kb.items import Item, Relationship, Schema
from kb.knowledge_base import KnowledgeBase
from kb.retrieval import Retriever


def join_rows(base: KnowledgeBase, embedder: Embedder, asked: Mapping[str, Sequence[TableQuestion]]) -> list[Row]:
    """A row for each split, over the questions that need a join; with the product's own limits."""
    items = list(base.snapshot().items.values())
    retriever = Retriever(base.store, embedder)
    rows: list[Row] = []
    for split, questions in asked.items():
        shares: list[float] = []
        for question in questions:
            needed = _needed(question, items)
            if needed:
                found = retriever.retrieve(base, question.question).of_kind("relationship")
                shares.append(len(needed & {hit.item.id for hit in found}) / len(needed))
        mean = float(np.mean(shares)) if shares else None
        rows.append(Row(f"{split} recall of joins", mean, "share", len(shares), mean_interval(shares)))
    return rows


def _needed(question: TableQuestion, items: Sequence[Item]) -> set[str]:
    tables = {
        (item.body.database, item.body.table)
        for item in items
        if isinstance(item.body, Schema) and item.id in question.needed
    }
    return {
        item.id
        for item in items
        if isinstance(item.body, Relationship)
        and item.body.left_table != item.body.right_table
        and {(item.body.database, item.body.left_table), (item.body.database, item.body.right_table)} <= tables
    }
