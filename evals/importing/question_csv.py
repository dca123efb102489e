"""CSV with a header: columns `question` and `sql`, and where there are any `id` and `tags` (parted by , or ;)."""

from __future__ import annotations

import re
from pathlib import Path

from evals.case import SqlResult
from evals.importing.found import Found, Imported
from kb.importers.csv_file import read_csv
from kb.importers.place import Place

_READ = ("question", "sql", "id", "tags")


def read_question_csv(path: Path) -> Imported:
    """Raises `SourceInvalid` with the line. Columns of other names are left out and told."""
    found = Found(str(path))
    rows = read_csv(path, ("question", "sql"))
    for column in (name for name in (rows[0].values if rows else ()) if name not in _READ):
        found.leave_out(Place(str(path), 1, column), "the header", "a case has no such field", what=column)
    for row in rows:
        tags = [tag.strip() for tag in re.split("[,;]", row.values.get("tags", "")) if tag.strip()]
        expect = (SqlResult((row.required("sql"),)),)
        found.case(row.place(), row.values.get("id", ""), row.required("question"), expect, tags)
    return found.done("rows below a header with question and sql")
