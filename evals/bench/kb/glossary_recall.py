"""Recall of the glossary line that a task needs: Defog's sql-eval, whose glossaries are lines of text.

Which lines a task needs is not in the data. It is derived by one rule (`_is_needed`), from the accepted statements and
the question: a line about a join is needed where a statement compares two columns that the line names; any other line
where one statement has every table, column and aggregate over a column that the line names, a column at least; and a
line that defines a term where the term or its abbreviation stands in the question.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import sqlglot
from sqlglot import expressions as exp
from sqlglot.errors import ParseError

from evals.bench.bm25 import Bm25
from evals.bench.bootstrap import mean_interval
from evals.bench.errors import DataUnavailable
from evals.bench.kb.table_recall import BM25, DENSE, HYBRID, Rank, one_base, ordered
from evals.bench.mini.knowledge import introspected
from evals.bench.row import Asked, Row
from kb.embedding import Embedder
from kb.items import Document, Item, Metric, Schema, item_id
from kb.retrieval import Limits, Retriever
from kb.search_text import search_text

K = 3
TITLE_WORDS = 6
_FIRST = Limits(per_kind={"document": K, "metric": K}, floor=-1.0)
_TERM = re.compile(r"^(?P<term>[A-Z][\w ]*?)\s*(?:\((?P<short>[A-Z]+)\))?\s*=")
_AGGREGATE = re.compile(r"\b(SUM|COUNT|AVG|MIN|MAX)\s*\(\s*(?:DISTINCT\s+)?(?:\w+\.)?(\w+)\s*\)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Line:
    """`columns`, `tables`: those of its database that it names, in lower case; `aggregates`: functions of a column."""

    item: Item
    database: str
    terms: tuple[str, ...]
    columns: frozenset[str]
    tables: frozenset[str]
    aggregates: frozenset[tuple[str, str]]
    is_join: bool


@dataclass(frozen=True, slots=True)
class Statement:
    """What an accepted statement has: columns, tables, functions of a column, and pairs of columns that it compares."""

    columns: frozenset[str]
    tables: frozenset[str]
    aggregates: frozenset[tuple[str, str]]
    compared: frozenset[frozenset[str]]


@dataclass(frozen=True, slots=True)
class Task:
    question: str
    database: str
    needed: frozenset[str]


def glossary_rows(folder: Path, embedder: Embedder, say: Callable[[str], None], limit: int | None = None) -> list[Row]:
    """Recall@3 of the needed lines, over one base of every glossary and its tables. Raises `DataUnavailable`."""
    lines, tables = _glossaries(folder)
    tasks = [task for task in _tasks(folder, lines) if task.needed][:limit]
    say(f"{len(lines)} lines of {len(tables)} glossaries, {len(tasks)} tasks that need one")
    schemas = [item for items in tables.values() for item in items]
    rows = _rows("glossary", tasks, _ranks([line.item for line in lines], schemas, embedder), say, asked=True)
    metrics = [_as_metric(line.item) for line in lines]
    as_metrics = [replace(task, needed=frozenset(map(_metric_id, task.needed))) for task in tasks]
    return [*rows, *_rows("glossary as metrics", as_metrics, _ranks(metrics, schemas, embedder), say, asked=False)]


def _rows(
    title: str, tasks: Sequence[Task], ranks: Mapping[str, Rank], say: Callable[[str], None], *, asked: bool
) -> list[Row]:
    shares = {name: [_share(task, rank) for task in tasks] for name, rank in ranks.items()}
    means = {name: float(np.mean(found)) for name, found in shares.items() if found}
    rows: list[Row] = []
    for name, found in shares.items():
        others = {other: mean for other, mean in means.items() if other != name and name == HYBRID}
        bound = Asked(at_least=max(others.values())) if others and asked else None
        interval = mean_interval(found)
        rows.append(Row(f"{title} recall@{K} {name}", means.get(name), "share", len(found), interval, others, bound))
    for name in (BM25, DENSE):
        for task, own, other in zip(tasks, shares[HYBRID], shares[name], strict=True):
            if own < other:
                say(f"{title}: {name} finds more for {task.database}: {task.question}")
    return rows


def needed_lines(folder: Path) -> list[set[str]]:
    """Ids of the lines that each task needs, in the file's order. Raises `DataUnavailable`."""
    lines, _ = _glossaries(folder)
    return [set(task.needed) for task in _tasks(folder, lines)]


def _as_metric(line: Item) -> Item:
    assert isinstance(line.body, Document), "a glossary's lines are documents"
    return Item(_metric_id(line.id), line.title, Metric(line.body.text))


def _metric_id(document_id: str) -> str:
    return item_id("metric", document_id.partition(":")[2])


def _share(task: Task, rank: Rank) -> float:
    return len(task.needed & set(rank(task.question)[:K])) / len(task.needed)


def _ranks(lines: Sequence[Item], tables: Sequence[Item], embedder: Embedder) -> dict[str, Rank]:
    ids, texts = [item.id for item in lines], [search_text(item) for item in lines]
    sparse, vectors = Bm25(texts), embedder.embed(texts)
    base = one_base([*lines, *tables])
    retriever = Retriever(base.store, embedder)
    return {
        HYBRID: lambda question: [
            hit.item.id for hit in retriever.retrieve(base, question, limits=_FIRST).of_kind("document", "metric")
        ],
        BM25: lambda question: ordered(ids, sparse.scores(question)),
        DENSE: lambda question: ordered(ids, vectors @ embedder.embed([question])[0]),
    }


def _glossaries(folder: Path) -> tuple[list[Line], dict[str, list[Item]]]:
    path = folder / "defog" / "glossary.jsonl"
    tables: dict[str, list[Item]] = {}
    lines: list[Line] = []
    for record in _records(path):
        try:
            database, key, text = record["db_id"], record["id"], record["text"]
        except (KeyError, TypeError) as exc:
            raise DataUnavailable(path, f"not a file of glossary lines ({exc!r})") from exc
        if database not in tables:
            tables[database] = introspected(folder / "defog" / "db" / f"{database}.sqlite")
        lines.append(_line(key, database, text, tables[database]))
    return lines, tables


def _line(key: str, database: str, text: str, tables: Sequence[Item]) -> Line:
    schemas = [item.body for item in tables if isinstance(item.body, Schema)]
    said = set(re.findall(r"\w+", text.lower()))
    columns = frozenset(said & {column.name.lower() for schema in schemas for column in schema.columns})
    named = frozenset(said & {schema.table.lower() for schema in schemas})
    aggregates = frozenset((function.lower(), column.lower()) for function, column in _AGGREGATE.findall(text))
    match = _TERM.match(text)
    terms = tuple(term for term in (match["term"], match["short"]) if term) if match else ()
    item = Item(item_id("document", key), " ".join(text.split()[:TITLE_WORDS]), Document(text))
    return Line(item, database, terms, columns, named, aggregates, "joined" in text)


def _tasks(folder: Path, lines: Sequence[Line]) -> Iterator[Task]:
    path = folder / "defog" / "tasks.jsonl"
    for record in _records(path):
        try:
            question, database, accepted = record["question"], record["db_id"], record["gold_sql"]
        except (KeyError, TypeError) as exc:
            raise DataUnavailable(path, f"not a file of tasks ({exc!r})") from exc
        own = [line for line in lines if line.database == database]
        statements = [found for sql in accepted if (found := _statement(sql)) is not None] if own else []
        needed = frozenset(line.item.id for line in own if _is_needed(line, question, statements))
        yield Task(question, database, needed)


def _is_needed(line: Line, question: str, statements: Collection[Statement]) -> bool:
    if any(re.search(rf"\b{re.escape(term)}\b", question, re.IGNORECASE) for term in line.terms):
        return True
    if line.is_join:
        return any(pair <= line.columns for statement in statements for pair in statement.compared)
    return bool(line.columns) and any(
        line.columns <= statement.columns
        and line.tables <= statement.tables
        and line.aggregates <= statement.aggregates
        for statement in statements
    )


def _statement(sql: str) -> Statement | None:
    """`None` for the few that sqlglot cannot read; their task has other accepted statements, or only its question."""
    try:
        tree = sqlglot.parse_one(sql, read="sqlite")
    except ParseError:
        return None
    columns = frozenset(column.name.lower() for column in tree.find_all(exp.Column))
    aggregates = frozenset(
        (call.key, column.name.lower()) for call in tree.find_all(exp.AggFunc) for column in call.find_all(exp.Column)
    )
    compared = frozenset(
        frozenset((equal.this.name.lower(), equal.expression.name.lower()))
        for equal in tree.find_all(exp.EQ)
        if isinstance(equal.this, exp.Column) and isinstance(equal.expression, exp.Column)
    )
    tables = frozenset(table.name.lower() for table in tree.find_all(exp.Table))
    return Statement(columns, tables, aggregates, compared)


def _records(path: Path) -> list[Mapping[str, Any]]:
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as exc:
        raise DataUnavailable(path, exc.strerror or "cannot be read") from exc
    except ValueError as exc:
        raise DataUnavailable(path, f"not JSON lines ({exc!r})") from exc
