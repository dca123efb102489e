"""Spider (Yu et al. 2018) and Spider-Realistic (Deng et al. 2021) as a retrieval task: which tables a question needs.

`tables.json` holds the schemas as the benchmark ships them; a questions file has one JSON object a line with
`question`, `db_id` and `gold_tables` (the tables of the gold SQL).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.bench.errors import DataUnavailable
from kb.items import Column, Item, Schema, item_id


@dataclass(frozen=True, slots=True)
class TableQuestion:
    """`needed` holds the ids of the schema items that the question's gold SQL reads."""

    question: str
    database: str
    needed: frozenset[str]


def load_schemas(folder: Path) -> dict[str, list[Item]]:
    """Database → one schema item a table, with the names the database itself has. Raises `DataUnavailable`."""
    path = folder / "spider" / "tables.json"
    try:
        listed = json.loads(_text(path))
        return {schema["db_id"]: _items(schema) for schema in listed}
    except (ValueError, KeyError, TypeError, IndexError) as exc:
        raise DataUnavailable(path, f"not Spider's list of schemas ({exc!r})") from exc


def load_questions(folder: Path, split: str) -> list[TableQuestion]:
    """The questions of `SPLIT.jsonl`, in the file's order. Raises `DataUnavailable`."""
    path = folder / "spider" / f"{split}.jsonl"
    try:
        records = [json.loads(line) for line in _text(path).splitlines() if line.strip()]
        questions = [_question(record) for record in records]
    except (ValueError, KeyError, TypeError) as exc:
        raise DataUnavailable(path, f"not a file of questions ({exc!r})") from exc
    if not questions:
        raise DataUnavailable(path, "it holds no question")
    return questions


def of_databases(questions: Iterable[TableQuestion], databases: Collection[str]) -> list[TableQuestion]:
    return [question for question in questions if question.database in databases]


def table_id(database: str, table: str) -> str:
    """Lower case, since gold tables are written in any case."""
    return item_id("schema", f"{database}.{table}".lower())


def _items(schema: dict[str, Any]) -> list[Item]:
    database, tables = schema["db_id"], schema["table_names_original"]
    columns: list[list[Column]] = [[] for _ in tables]
    for (table, name), type_name in zip(schema["column_names_original"], schema["column_types"], strict=True):
        if table >= 0:
            columns[table].append(Column(name, type_name))
    return [
        Item(table_id(database, table), table, Schema(table, tuple(columns[place]), database=database))
        for place, table in enumerate(tables)
    ]


def _question(record: dict[str, Any]) -> TableQuestion:
    database = record["db_id"]
    needed = frozenset(table_id(database, table) for table in record["gold_tables"])
    return TableQuestion(record["question"], database, needed)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as exc:
        raise DataUnavailable(path, exc.strerror or "cannot be read") from exc
