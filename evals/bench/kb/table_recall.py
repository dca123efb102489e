"""Recall of the tables a question needs, over one base of every database; retrieval beside BM25 and dense alone.

All three read the same text of a table (`kb.search_text`), and where the base has sampled values, these stand in the
text of the other two, since retrieval reads them as names. Ties are broken by item id.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evals.bench.bm25 import Bm25
from evals.bench.bootstrap import mean_interval
from evals.bench.kb.join_recall import join_rows
from evals.bench.kb.table_values import with_values
from evals.bench.remembering import Remembering
from evals.bench.row import Asked, Row
from evals.bench.spider import TableQuestion, load_joins, load_questions, load_schemas, of_databases
from evals.interval import pass_rate
from kb.embedding import Embedder
from kb.items import Item, Schema
from kb.knowledge_base import Changes, KnowledgeBase
from kb.memory_store import MemoryStore
from kb.retrieval import Limits, Retriever, Weights
from kb.search_text import search_text

K = 5
ASKED = {"dev": 0.6, "realistic": 0.7}
"""The share of the better single method's misses that retrieval may have."""
HYBRID, BM25, DENSE = "hybrid", "bm25", "dense"
_FIRST = Limits(per_kind={"schema": K}, near_best=0.0)

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


def table_rows(folder: Path, embedder: Embedder, say: Callable[[str], None], limit: int | None = None) -> list[Row]:
    """The figures for every split; `limit` takes the first questions of each. Raises `DataUnavailable`."""
    schemas, joins = load_schemas(folder), load_joins(folder)
    asked = {split: _known(load_questions(folder, split), schemas, split, say)[:limit] for split in ASKED}
    tables = [item for database in sorted(schemas) for item in schemas[database]]
    related = [item for database in sorted(joins) for item in joins[database]]
    say(f"{len(tables)} tables of {len(schemas)} databases in one base")
    remembering = Remembering(embedder)
    rows: list[Row] = []
    for note, items in (("", tables), (" with values", with_values(folder, tables))):
        ranks = _ranks(items, related, remembering)
        for split, questions in asked.items():
            measured = {name: recall(questions, rank) for name, rank in ranks.items()}
            rows += _rows(f"{split}{note}", measured, None if note else Asked(at_most=ASKED[split]))
            _tell_losses(f"{split}{note}", questions, measured, say)
    return [*rows, *join_rows(one_base([*tables, *related]), remembering, asked)]


def recall(questions: Sequence[TableQuestion], rank: Rank) -> Recall:
    return Recall(tuple(share_found(question.needed, rank(question.question)) for question in questions))


def share_found(needed: Collection[str], found: Sequence[str]) -> float:
    return len(set(needed) & set(found[:K])) / len(needed)


def one_base(items: Iterable[Item]) -> KnowledgeBase:
    base = KnowledgeBase.create(MemoryStore(), "bench", "tables", author="bench")
    base.commit(Changes(put=tuple(items)), author="bench", message="Tables")
    return base


def hybrid(items: Iterable[Item], embedder: Embedder, weights: Weights | None = None) -> Rank:
    """The product's own retrieval of `K` tables, those between joined ones included."""
    base = one_base(items)
    retriever = Retriever(base.store, embedder, weights=weights)
    return lambda question: [hit.item.id for hit in retriever.retrieve(base, question, limits=_FIRST).of_kind("schema")]


def _known(
    questions: Sequence[TableQuestion], schemas: Mapping[str, Sequence[Item]], split: str, say: Callable[[str], None]
) -> list[TableQuestion]:
    known = of_databases(questions, schemas)
    if len(known) < len(questions):
        without = sorted({question.database for question in questions} - schemas.keys())
        say(f"{split}: {len(questions) - len(known)} of {len(questions)} questions left out, no schema of {without}")
    return known


def _ranks(tables: Sequence[Item], joins: Sequence[Item], embedder: Embedder) -> dict[str, Rank]:
    ids, texts = [item.id for item in tables], [_text(item) for item in tables]
    sparse, vectors = Bm25(texts), embedder.embed(texts)
    return {
        HYBRID: hybrid([*tables, *joins], embedder),
        BM25: lambda question: ordered(ids, sparse.scores(question)),
        DENSE: lambda question: ordered(ids, vectors @ embedder.embed([question])[0]),
    }


def _text(item: Item) -> str:
    assert isinstance(item.body, Schema), "only tables are ranked"
    values = ", ".join(value for column in item.body.columns for value in column.samples)
    return f"{search_text(item)}. {values}" if values else search_text(item)


def ordered(ids: Sequence[str], scores: NDArray[np.float32]) -> list[str]:
    return [item for _, item in sorted(zip(-scores, ids, strict=True))]


def _rows(name: str, measured: Mapping[str, Recall], asked: Asked | None) -> list[Row]:
    rows: list[Row] = []
    n = len(measured[HYBRID].shares)
    recalls = {method: result.mean for method, result in measured.items() if result.mean is not None}
    wholes = {method: rate for method, result in measured.items() if (rate := pass_rate(result.complete, n))}
    for method, result in measured.items():
        others = {other: value for other, value in recalls.items() if other != method and method == HYBRID}
        interval = mean_interval(result.shares)
        rows.append(Row(f"{name} recall@{K} {method}", recalls.get(method), "share", n, interval, others))
        rates = {other: rate.rate for other, rate in wholes.items() if other != method and method == HYBRID}
        whole = wholes.get(method)
        between = (whole.low, whole.high) if whole else None
        value = whole.rate if whole else None
        rows.append(Row(f"{name} all tables in {K} {method}", value, "share", n, between, rates))
    rates = {method: rate.rate for method, rate in wholes.items()}
    rows.append(misses_row(f"{name} misses of recall@{K}", recalls, n, asked))
    rows.append(misses_row(f"{name} misses of all tables in {K}", rates, n, asked))
    return rows


def misses_row(name: str, found: Mapping[str, float], n: int, asked: Asked | None) -> Row:
    """Retrieval's misses beside those of the better single method; none where that one misses nothing."""
    missed = {method: 1 - share for method, share in found.items()}
    least = min((missed[method] for method in (BM25, DENSE) if method in missed), default=0.0)
    value = missed[HYBRID] / least if least > 0 else None
    singles = {method: share for method, share in missed.items() if method != HYBRID}
    return Row(name, value, "of the better's", n, baseline=singles, asked=asked if value is not None else None)


def _tell_losses(
    name: str, questions: Sequence[TableQuestion], measured: Mapping[str, Recall], say: Callable[[str], None]
) -> None:
    for method in (BM25, DENSE):
        pairs = zip(questions, measured[HYBRID].shares, measured[method].shares, strict=True)
        lost = [question for question, own, other in pairs if own < other]
        say(f"{name}: {method} finds more in {len(lost)} of {len(questions)} questions")
        for question in lost:
            say(f"  {question.database}: {question.question}")
