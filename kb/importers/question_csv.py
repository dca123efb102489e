"""CSV of questions and answers: columns `question`, and `sql` or `answer`. Each row becomes a proposed success."""

from __future__ import annotations

from pathlib import Path

from kb.importers.csv_file import read_csv
from kb.importers.imported import Findings, Imported, Known, question_id, title_of
from kb.importers.statement import Statements
from kb.items import Item, Provenance, Success


def import_csv(path: Path, known: Known) -> Imported:
    """Raises `SourceInvalid` with the line. Columns of other names are left out, with a warning."""
    rows = read_csv(path, ("question",))
    columns = list(rows[0].values) if rows else []
    answers = [name for name in ("sql", "answer") if name in columns]
    findings = Findings(str(path))
    statements = Statements.of(known, {})
    provenance = Provenance(f"csv {path.name}")
    if rows and not answers:
        raise rows[0].place().wrong(f"the header has no column 'sql' or 'answer', but {', '.join(columns)}")
    others = [name for name in columns if name not in ("question", *answers[:1])]
    if others:
        findings.warn(f"{path}:1: left out the columns {', '.join(others)}")
    for row in rows:
        question, answer = row.required("question"), row.required(answers[0])
        problem = statements.unread(answer)
        if problem and (answers[0] == "sql" or statements.query(answer) is not None):
            findings.warn(f"{row.place()}: the SQL {problem}")
        item = Item(
            id=question_id("success", question),
            title=title_of(question),
            body=Success(question, answer),
            depends_on=statements.reads(answer),
            status="proposed",
            provenance=provenance,
        )
        findings.add(item, row.place())
    return findings.done("rows below the header question,sql")
