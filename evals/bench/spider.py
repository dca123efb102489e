"""Spider (Yu et al. 2018) and Spider-Realistic (Deng et al. 2021) as a retrieval task: which tables a question needs.

`tables.json` holds the schemas as the benchmark ships them; a questions file has one JSON object a line with
`question`, `db_id` and `gold_tables` (the tables of the gold SQL).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.bench.errors import DataUnavailable
from kb.items import Column, Item, Relationship, Schema, item_id


@dataclass(frozen=True, slots=True)
class TableQuestion:
    """`needed` holds the ids of the schema items that the question's gold SQL reads."""

    question: str
    database: str
    needed: frozenset[str]


def load_schemas(folder: Path) -> dict[str, list[Item]]:
    """Database → one schema item a table, with the names the database itself has. Raises `DataUnavailable`."""
    return _read_schemas(folder, _tables)


def load_joins(folder: Path) -> dict[str, list[Item]]:
    """Database → one relationship item a pair of columns that is a foreign key. Raises `DataUnavailable`."""
    return _read_schemas(folder, _joins)


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


def _read_schemas(folder: Path, items: Callable[[dict[str, Any]], list[Item]]) -> dict[str, list[Item]]:
    path = folder / "spider" / "tables.json"
    try:
        return {schema["db_id"]: items(schema) for schema in json.loads(_text(path))}
    except (ValueError, KeyError, TypeError, IndexError) as exc:
        raise DataUnavailable(path, f"not Spider's list of schemas ({exc!r})") from exc


def _joins(schema: dict[str, Any]) -> list[Item]:
    database, tables, columns = schema["db_id"], schema["table_names_original"], schema["column_names_original"]
    joins: dict[str, Item] = {}
    for left, right in schema["foreign_keys"]:
        (left_table, left_column), (right_table, right_column) = columns[left], columns[right]
        ends = tables[left_table], (left_column,), tables[right_table], (right_column,)
        name = f"{tables[left_table]}.{left_column}-{tables[right_table]}.{right_column}"
        key = item_id("relationship", f"{database}.{name}".lower())
        joins[key] = Item(key, name, Relationship(*ends, database=database))
    return [*joins.values()]


def _tables(schema: dict[str, Any]) -> list[Item]:
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
