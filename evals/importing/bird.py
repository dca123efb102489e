"""BIRD (Li et al. 2023): a JSON list of `question`, `SQL`, `evidence`, `db_id`, `difficulty` and `question_id`."""

from __future__ import annotations

from pathlib import Path

from evals.case import SqlResult
from evals.importing.databases import of_database
from evals.importing.found import Found, Imported
from evals.importing.json_records import json_records
from kb.importers.record import Record

_EVIDENCE = "a hint is knowledge, no part of a question; write it as an item, so that the question retrieves it"


def read_bird(path: Path, database: str | None) -> Imported:
    """Raises `SourceInvalid`. The difficulty becomes a tag; evidence is left out and told."""
    found = Found(str(path))
    for record in of_database(path, json_records(path), database):
        name, question = _id(record), record.required("question")
        tags = tuple(filter(None, (record.text("difficulty"),)))
        found.case(record.place(), name, question, (SqlResult((record.required("SQL"),)),), tags)
        if record.text("evidence"):
            found.leave_out(record.place(), name or question, _EVIDENCE, what="evidence")
    return found.done("objects with question, SQL and db_id")


def _id(record: Record) -> str:
    number = record.values.get("question_id")
    return f"{record.text('db_id') or 'question'}-{number}" if isinstance(number, (int, str)) else ""
