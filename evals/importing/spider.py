"""Spider (Yu et al. 2018) and what is written like it: a JSON list, or JSONL, of `question`, `query` and `db_id`.

The parsed forms beside the query say nothing more and are passed over. A list of accepted queries may stand in the
field `gold_sql` instead.
"""

from __future__ import annotations

from pathlib import Path

from evals.case import SqlResult
from evals.importing.databases import of_database
from evals.importing.found import Found, Imported
from evals.importing.json_records import json_records


def read_spider(path: Path, database: str | None) -> Imported:
    """Rows must come in order where the query orders them, as in Spider's own evaluation. Raises `SourceInvalid`."""
    found = Found(str(path))
    for record in of_database(path, json_records(path), database):
        accepted = record.texts("gold_sql") or (record.required("query"),)
        ordered = any("order by" in " ".join(sql.lower().split()) for sql in accepted)
        expect = (SqlResult(accepted, ordered),)
        found.case(record.place(), record.text("id"), record.required("question"), expect)
    return found.done("objects with question, query and db_id")
