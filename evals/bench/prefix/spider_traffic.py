"""Spider's questions (Yu et al. 2018) and the dialogues of SParC and CoSQL (Yu et al. 2019) over one base of all the
tables that they are about.

A table is what `kvasir kb introspect` makes of it, with every text column sampled. Databases share names of tables, so
ids carry the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evals.bench.errors import DataUnavailable
from evals.bench.mini.knowledge import introspected
from evals.bench.mini.question_set import records
from evals.bench.prefix.request_stream import Request
from evals.bench.spider import table_id
from kb.items import Item, Relationship, Schema

DIALOGUE_FILES = ("sparc_dev", "cosql_dev")


@dataclass(frozen=True, slots=True)
class Traffic:
    """`questions` stand alone; of `dialogues`, each has at least one turn."""

    items: tuple[Item, ...]
    questions: tuple[Request, ...]
    dialogues: tuple[tuple[Request, ...], ...]


def spider_traffic(data: Path) -> Traffic:
    """Raises `DataUnavailable`."""
    folder = data / "spider"
    asked = _records(folder / "dev.jsonl")
    talked = [record for name in DIALOGUE_FILES for record in _records(folder / f"{name}.jsonl")]
    databases = sorted({record["db_id"] for record in (*asked, *talked)})
    items = [
        in_database(item, database) for database in databases for item in introspected(_database(folder, database))
    ]
    # The same question in other words of the file's is another one; the same words again would be a repeat.
    questions = {record["question"]: _request(folder, record, record, 0) for record in asked}
    dialogues = [
        [_request(folder, record, turn, number) for number, turn in enumerate(record["turns"])] for record in talked
    ]
    return Traffic(tuple(items), tuple(questions.values()), tuple(tuple(turns) for turns in dialogues))


def in_database(item: Item, database: str) -> Item:
    """The item as one of a base that holds other databases as well."""
    body = item.body
    assert isinstance(body, (Schema, Relationship)), "introspection makes no other items"
    return replace(
        item,
        id=_qualified(item.id, database),
        body=replace(body, database=database),
        refs=tuple(_qualified(ref, database) for ref in item.refs),
    )


def _qualified(name: str, database: str) -> str:
    kind, _, rest = name.partition(":")
    return f"{kind}:{database}.{rest}".lower()


def _request(folder: Path, record: Mapping[str, Any], turn: Mapping[str, Any], number: int) -> Request:
    needed = frozenset(table_id(record["db_id"], table) for table in turn["gold_tables"])
    database = _database(folder, record["db_id"])
    return Request(record["id"], number, turn["question"], turn["gold_sql"][0], needed, database=database)


def _database(folder: Path, name: str) -> Path:
    return folder / "database" / f"{name}.sqlite"


def _records(path: Path) -> Sequence[Mapping[str, Any]]:
    found = records(path)
    for number, record in enumerate(found, 1):
        turns: Iterable[Any] = record.get("turns", [record]) or [{}]
        if "db_id" not in record or "id" not in record or not all(_is_turn(turn) for turn in turns):
            raise DataUnavailable(path, f"line {number} is no question or dialogue of Spider's")
    return found


def _is_turn(turn: Mapping[str, Any]) -> bool:
    return bool(turn.get("question") and turn.get("gold_sql")) and "gold_tables" in turn
