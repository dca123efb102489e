"""Recall of the tables a question needs, over one base of many databases; hybrid retrieval beside its two halves.

The same rendering of a table (`kb.search_text`) feeds all three: BM25 alone, the dense index alone, and the hybrid
with its weights. Ties are broken by item id, so a run gives the same figures every time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evals.bench.bm25 import Bm25
from evals.bench.bootstrap import mean_interval
from evals.bench.row import Row
from evals.bench.spider import TableQuestion, load_questions, load_schemas, of_databases
from evals.interval import pass_rate
from kb.embedding import Embedder
from kb.items import Item
from kb.knowledge_base import Changes, KnowledgeBase
from kb.memory_store import MemoryStore
from kb.retrieval import Limits, Retriever, Weights
from kb.search_text import search_text

K = 5
SPLITS = ("dev", "realistic")
HYBRID, BM25, DENSE = "hybrid", "bm25", "dense"
_EVERY_TABLE = Limits(per_kind={"schema": 1_000_000}, near_best=0.0)

Rank = Callable[[str], Sequence[str]]
"""Question → item ids of tables, best first."""


@dataclass(frozen=True, slots=True)
class Recall:
    """One value a question: the share of its needed tables among the first `K`."""

    shares: tuple[float, ...]

    @property
    def mean(self) -> float | None:
        return float(np.mean(self.shares)) if self.shares else None

    @property
    def complete(self) -> int:
        """Questions whose needed tables are all there."""
        return sum(share == 1.0 for share in self.shares)


def retrieval_rows(folder: Path, embedder: Embedder, say: Callable[[str], None], limit: int | None = None) -> list[Row]:
    """The figures for every split; `limit` takes the first questions of each. Raises `DataUnavailable`."""
    schemas = load_schemas(folder)
    questions = {split: load_questions(folder, split) for split in SPLITS}
    occurring = {question.database for question in questions["dev"]}
    tables = [item for database in sorted(occurring & schemas.keys()) for item in schemas[database]]
    say(f"{len(tables)} tables of {len(occurring & schemas.keys())} databases in one base")
    ranks = _ranks(tables, embedder)
    rows: list[Row] = []
    for split, asked in questions.items():
        known = of_databases(asked, schemas)
        if len(known) < len(asked):
            without = sorted({question.database for question in asked} - schemas.keys())
            say(f"{split}: {len(asked) - len(known)} of {len(asked)} questions left out, no schema of {without}")
        say(f"{split}: {len(known[:limit])} questions")
        rows += _rows(split, {name: recall(known[:limit], rank) for name, rank in ranks.items()})
    return rows


def recall(questions: Sequence[TableQuestion], rank: Rank) -> Recall:
    return Recall(tuple(_share(question.needed, rank(question.question)[:K]) for question in questions))


def hybrid(tables: Sequence[Item], embedder: Embedder, weights: Weights | None = None) -> Rank:
    """The product's own retrieval, ranking every table."""
    base = KnowledgeBase.create(MemoryStore(), "bench", "tables", author="bench")
    base.commit(Changes(put=tuple(tables)), author="bench", message="Tables")
    retriever = Retriever(base.store, embedder, weights=weights)
    return lambda question: [
        hit.item.id for hit in retriever.retrieve(base, question, limits=_EVERY_TABLE).of_kind("schema")
    ]


def _ranks(tables: Sequence[Item], embedder: Embedder) -> dict[str, Rank]:
    ids, texts = [item.id for item in tables], [search_text(item) for item in tables]
    sparse, vectors = Bm25(texts), embedder.embed(texts)
    return {
        HYBRID: hybrid(tables, embedder),
        BM25: lambda question: _ordered(ids, sparse.scores(question)),
        DENSE: lambda question: _ordered(ids, vectors @ embedder.embed([question])[0]),
    }


def _ordered(ids: Sequence[str], scores: NDArray[np.float32]) -> list[str]:
    return [item for _, item in sorted(zip(-scores, ids, strict=True))]


def _share(needed: Collection[str], found: Sequence[str]) -> float:
    return len(set(needed) & set(found)) / len(needed)


def _rows(split: str, measured: Mapping[str, Recall]) -> list[Row]:
    rows: list[Row] = []
    for method, result in measured.items():
        others = {name: other for name, other in measured.items() if name != method and method == HYBRID}
        means = {name: other.mean for name, other in others.items() if other.mean is not None}
        n, whole = len(result.shares), pass_rate(result.complete, len(result.shares))
        interval = mean_interval(result.shares)
        rows.append(Row(f"{split} recall@{K} {method}", result.mean, "share", n, interval, means))
        rates = {name: rate.rate for name, other in others.items() if (rate := pass_rate(other.complete, n))}
        between = (whole.low, whole.high) if whole else None
        name = f"{split} all tables in {K} {method}"
        rows.append(Row(name, whole.rate if whole else None, "share", n, between, rates))
    return rows
