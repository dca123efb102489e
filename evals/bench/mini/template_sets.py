"""The template sets of Finegan-Dollak et al. 2018, as learning curves: accuracy after so many confirmed answers.

Under the question split a template of the questions may occur among the confirmed answers; under the query split none
does, so nothing can be looked up there and the curve should stay flat. GeoQuery has its database here and is judged by
execution; of ATIS, Advising and Scholar only the schemas are here, so their statements are compared.
"""

from __future__ import annotations

import csv
from pathlib import Path
from random import Random
from typing import Any

from evals.bench.errors import DataUnavailable
from evals.bench.mini.knowledge import introspected, successes
from evals.bench.mini.question_set import Group, Question, QuestionSet, Step, records
from kb.items import Column, Item, Schema, item_id

EXECUTED = "geography"
COMPARED = ("atis", "advising", "scholar")
SPLITS = ("question", "query")
CONFIRMED = (10, 100, 500)
"""Points of the curve after 0; where there are fewer confirmed answers, the last point is all of them.

They come in one shuffled order, so the first 10 are among the first 100."""
_SEED = 7


def template_sets(data: Path, limit: int | None = None) -> list[QuestionSet]:
    """Raises `DataUnavailable`. `limit` takes the first questions of each set and split."""
    folder = data / "text2sql_templates"
    database = folder / f"{EXECUTED}.sqlite"
    executed = introspected(database)
    sets = [_set(folder, EXECUTED, split, executed, database, limit) for split in SPLITS]
    for name in COMPARED:
        schemas = schemas_of(folder / f"{name}-schema.csv")
        sets += [_set(folder, name, split, schemas, None, limit) for split in SPLITS]
    return sets


def _set(folder: Path, name: str, split: str, schemas: list[Item], file: Path | None, limit: int | None) -> QuestionSet:
    listed = records(folder / f"{name}.jsonl")
    asked = [_question(record) for record in listed if record[f"{split}_split"] == "dev"][:limit]
    trained = [record for record in listed if record[f"{split}_split"] == "train"]
    shuffled = Random(_SEED).sample(trained, len(trained))
    confirmed = successes(((r["question"], r["gold_sql"][0]) for r in shuffled), schemas, CONFIRMED[-1])
    steps = [*([Step("empty base")] if file else []), Step("schemas", tuple(schemas), 0)]
    before = 0
    for count in sorted({min(count, len(confirmed)) for count in CONFIRMED}):
        steps.append(Step(f"schemas + {count} successes", tuple(confirmed[before:count]), count))
        before = count
    group = Group(name, file, tuple(asked), tuple(steps))
    return QuestionSet(f"{name} {split} split", "execution match" if file else "SQL equality", (group,))


def _question(record: dict[str, Any]) -> Question:
    return Question(record["id"], record["question"], tuple(record["gold_sql"]))


def schemas_of(path: Path) -> list[Item]:
    """One item a table of a `SET-schema.csv`. The sets order the columns after the name differently."""
    try:
        lines = list(csv.reader(path.read_text(encoding="utf-8").splitlines(), skipinitialspace=True))
    except OSError as exc:
        raise DataUnavailable(path, exc.strerror or "cannot be read") from exc
    head = [name.strip() for name in lines[0]]
    tables: dict[str, list[Column]] = {}
    for line in lines[1:]:
        cells = [cell.strip() for cell in line]
        if len(cells) < 3 or cells[0] in ("", "-"):
            continue
        tables.setdefault(cells[0], []).append(_column(dict(zip(head, cells, strict=False)), cells))
    return [
        Item(item_id("schema", table), f"Table {table}", Schema(table, tuple(columns)))
        for table, columns in tables.items()
    ]


def _column(cell: dict[str, str], cells: list[str]) -> Column:
    key = cell.get("Is Primary Key", "").upper() in ("Y", "YES") or "PRI" in cells[2:]
    return Column(cell["Field Name"], cell["Type"].split(" ")[0].upper(), primary_key=key)
