"""Recall of confirmed answers and templates: does a question get one whose SQL has the template it needs?

The template sets of Finegan-Dollak et al. 2018 say of every question which template its SQL has. Under their question
split a template of a dev question may stand among the training questions; where it does, one of its items is needed.
Beside retrieval stand BM25 alone and dense search alone over the same questions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evals.bench.bm25 import Bm25
from evals.bench.kb.table_recall import BM25, DENSE, HYBRID, Rank, one_base, ordered
from evals.bench.mini.knowledge import introspected
from evals.bench.mini.question_set import records
from evals.bench.mini.template_sets import COMPARED, EXECUTED, schemas_of
from evals.bench.remembering import Remembering
from evals.bench.row import Row
from evals.interval import pass_rate
from kb.embedding import Embedder
from kb.items import Item, Success, Template, item_id
from kb.retrieval import Limits, Retriever

Pattern = Literal["success", "template"]
FIRST: Mapping[Pattern, int] = {"success": 3, "template": 2}
"""How many of a kind a prompt gets, as `Limits` has it."""


@dataclass(frozen=True, slots=True)
class TemplateSet:
    """`known` are the training questions; `asked` those dev questions whose template is among them."""

    name: str
    schemas: tuple[Item, ...]
    known: tuple[Mapping[str, Any], ...]
    asked: tuple[Mapping[str, Any], ...]


def pattern_rows(data: Path, embedder: Embedder, say: Callable[[str], None], limit: int | None = None) -> list[Row]:
    """Raises `DataUnavailable`. `limit` takes the first questions of each set."""
    remembering = Remembering(embedder)
    rows: list[Row] = []
    for name in (EXECUTED, *COMPARED):
        asked_of = _template_set(data / "text2sql_templates", name, limit)
        say(f"{name}: {len(asked_of.known)} confirmed questions, {len(asked_of.asked)} whose template is among them")
        for kind in FIRST:
            rows += _rows(asked_of, kind, remembering, say)
    return rows


def _template_set(folder: Path, name: str, limit: int | None) -> TemplateSet:
    listed = records(folder / f"{name}.jsonl")
    known = [record for record in listed if record["question_split"] == "train"]
    templates = {record["template"] for record in known}
    dev = [record for record in listed if record["question_split"] == "dev"][:limit]
    asked = [record for record in dev if record["template"] in templates]
    database = folder / f"{name}.sqlite"
    schemas = introspected(database) if name == EXECUTED else schemas_of(folder / f"{name}-schema.csv")
    return TemplateSet(name, tuple(schemas), tuple(known), tuple(asked))


def _rows(asked_of: TemplateSet, kind: Pattern, embedder: Embedder, say: Callable[[str], None]) -> list[Row]:
    items = _successes(asked_of.known) if kind == "success" else _templates(asked_of.known)
    template_of = {item.id: template for item, template in items}
    found: dict[str, list[bool]] = {}
    for method, rank in _ranks(asked_of.schemas, [item for item, _ in items], kind, embedder).items():
        found[method] = [
            any(template_of[key] == record["template"] for key in rank(record["question"])[: FIRST[kind]])
            for record in asked_of.asked
        ]
    for method in (BM25, DENSE):
        for record, own, other in zip(asked_of.asked, found[HYBRID], found[method], strict=True):
            if other and not own:
                say(f"{asked_of.name} {kind}: only {method} finds one for: {record['question']}")
    rates = {method: pass_rate(sum(hits), len(hits)) for method, hits in found.items()}
    name, n = f"{asked_of.name} {kind} recall@{FIRST[kind]}", len(asked_of.asked)
    ours = rates[HYBRID]
    baseline = {method: rate.rate for method, rate in rates.items() if method != HYBRID and rate is not None}
    if ours is None:
        return [Row(name, None, "share", n)]
    return [Row(name, ours.rate, "share", n, (ours.low, ours.high), baseline)]


def _successes(known: Sequence[Mapping[str, Any]]) -> list[tuple[Item, int]]:
    """Each with its template. A question that comes again with the same SQL is one item."""
    items: dict[str, tuple[Item, int]] = {}
    for record in known:
        item = Item(
            item_id("success", record["id"]), record["question"], Success(record["question"], record["gold_sql"][0])
        )
        items.setdefault(f"{record['question']}\n{record['gold_sql'][0]}", (item, record["template"]))
    return list(items.values())


def _templates(known: Sequence[Mapping[str, Any]]) -> list[tuple[Item, int]]:
    """One a template, with the first question that has it."""
    items: dict[int, tuple[Item, int]] = {}
    for record in known:
        body = Template(record["question"], record["gold_sql"][0])
        item = Item(item_id("template", str(record["template"])), record["question"], body)
        items.setdefault(record["template"], (item, record["template"]))
    return list(items.values())


def _ranks(schemas: Sequence[Item], items: Sequence[Item], kind: Pattern, embedder: Embedder) -> dict[str, Rank]:
    ids, texts = [item.id for item in items], [item.title for item in items]
    sparse, vectors = Bm25(texts), embedder.embed(texts)
    base = one_base([*schemas, *items])
    retriever = Retriever(base.store, embedder)
    limits = Limits(per_kind={kind: FIRST[kind]}, pattern_floor=-1.0)
    return {
        HYBRID: lambda question: [
            hit.item.id for hit in retriever.retrieve(base, question, limits=limits).of_kind(kind)
        ],
        BM25: lambda question: ordered(ids, sparse.scores(question)),
        DENSE: lambda question: ordered(ids, vectors @ embedder.embed([question])[0]),
    }
