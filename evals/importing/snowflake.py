"""The verified queries of a semantic model of Snowflake's Cortex Analyst (YAML).

Their SQL speaks of the model's tables; the cases' speaks of the database's, in Snowflake's dialect.
"""

from __future__ import annotations

from pathlib import Path

from evals.case import SqlResult
from evals.importing.found import Found, Imported
from kb.importers.snowflake import verified_queries


def read_snowflake(path: Path) -> Imported:
    """Raises `SourceInvalid`. A query that cannot be read is left out: it may speak of tables that no database has."""
    found = Found(str(path))
    for query in verified_queries(path):
        place = query.record.place()
        if query.is_read:
            found.case(place, query.name, query.question, (SqlResult((query.sql,)),))
        else:
            found.leave_out(place, query.name or query.question, "its sql is not one query that can be read")
    return found.done("verified_queries with question and sql")
