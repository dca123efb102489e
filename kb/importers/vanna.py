"""Vanna's training data, as `get_training_data()` gives it: JSON records or CSV.

Columns: `training_data_type` (sql, ddl, documentation), `question`, `content`; others are left out. Format: the data
frame of github.com/vanna-ai/vanna, saved with `to_json(orient="records")` or `to_csv()`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlglot import exp

from kb.importers.csv_file import read_csv
from kb.importers.errors import SourceInvalid
from kb.importers.imported import (
    Findings,
    Imported,
    Known,
    question_id,
    relationship_item,
    schema_item,
    title_of,
)
from kb.importers.place import Place
from kb.importers.record import read_json
from kb.importers.statement import Statements
from kb.items import Column, Document, Item, Provenance, Relationship, Success

_COLUMNS = ("training_data_type", "question", "content")
_TYPES = ("sql", "ddl", "documentation")


@dataclass(frozen=True, slots=True)
class _Entry:
    kind: str
    question: str
    content: str
    place: Callable[[str], Place]


def import_vanna(path: Path, known: Known) -> Imported:
    """Proposed successes, schema and relationship items from DDL, documents. Raises `SourceInvalid`."""
    entries = list(_from_csv(path) if path.suffix.lower() == ".csv" else _from_json(path))
    for entry in entries:
        if entry.kind not in _TYPES:
            raise entry.place(_COLUMNS[0]).wrong(f"'{entry.kind}' is no type; expected is {', '.join(_TYPES)}")
        if not entry.content:
            raise entry.place("content").wrong("is missing or empty; give it a text")
    findings = Findings(str(path))
    provenance = Provenance(f"vanna {path.name}")
    parser = Statements.of(known, {})
    for entry in entries:
        if entry.kind == "ddl":
            _add_ddl(entry, parser, findings, provenance)
        elif entry.kind == "documentation":
            findings.add(_document(entry, provenance), entry.place("content"))
    statements = Statements.of(known, findings.tables())
    for entry in entries:
        if entry.kind == "sql":
            _add_pair(entry, statements, findings, provenance)
    return findings.done("records with training_data_type, question and content")


def _from_csv(path: Path) -> Iterator[_Entry]:
    for row in read_csv(path, _COLUMNS):
        kind, question, content = (row.values[name] for name in _COLUMNS)
        yield _Entry(kind.lower(), question, content, row.place)


def _from_json(path: Path) -> Iterator[_Entry]:
    top = read_json(path)
    if "items" not in top.values:
        raise SourceInvalid(str(path), "holds no list of records; save it with to_json(orient='records')")
    for record in top.records("items"):
        kind = record.required(_COLUMNS[0]).lower()
        yield _Entry(kind, record.text("question"), record.text("content"), record.place)


def _document(entry: _Entry, provenance: Provenance) -> Item:
    digest = hashlib.sha256(entry.content.encode()).hexdigest()[:12]
    title = title_of(entry.content)
    return Item(f"document:vanna-{digest}", title, Document(entry.content), provenance=provenance)


def _add_pair(entry: _Entry, statements: Statements, findings: Findings, provenance: Provenance) -> None:
    place = entry.place("content")
    if not entry.question:
        findings.warn(f"{place}: the SQL has no question; left out")
        return
    problem = statements.unread(entry.content)
    if problem:
        findings.warn(f"{place}: the SQL {problem}")
    item = Item(
        id=question_id("success", entry.question),
        title=title_of(entry.question),
        body=Success(entry.question, entry.content),
        depends_on=statements.reads(entry.content),
        status="proposed",
        provenance=provenance,
    )
    findings.add(item, place)


# ── DDL ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _add_ddl(entry: _Entry, parser: Statements, findings: Findings, provenance: Provenance) -> None:
    place = entry.place("content")
    create = parser.tree(entry.content)
    if not (isinstance(create, exp.Create) and create.kind == "TABLE" and isinstance(create.this, exp.Schema)):
        findings.warn(f"{place}: is not one CREATE TABLE in {parser.dialect or 'plain'} SQL; kept as a document")
        findings.add(_document(entry, provenance), place)
        return
    table = create.this.this.name
    columns = tuple(_columns(create.this, parser.dialect))
    findings.add(schema_item(table, columns, _comment(create), provenance), place)
    for body in _foreign_keys(create.this, table):
        findings.add(relationship_item(body, provenance), place)


def _columns(schema: exp.Schema, dialect: str) -> Iterator[Column]:
    primary = {part.name for key in schema.find_all(exp.PrimaryKey) for part in key.expressions}
    for column in schema.expressions:
        if not isinstance(column, exp.ColumnDef):
            continue
        kinds = [constraint.args.get("kind") for constraint in column.constraints]
        is_key = column.name in primary or any(isinstance(kind, exp.PrimaryKeyColumnConstraint) for kind in kinds)
        required = any(isinstance(k, exp.NotNullColumnConstraint) and not k.args.get("allow_null") for k in kinds)
        comment = next((kind.this.name for kind in kinds if isinstance(kind, exp.CommentColumnConstraint)), "")
        type_ = column.args["kind"].sql(dialect) if column.args.get("kind") else "unknown"
        yield Column(column.name, type_, nullable=not (required or is_key), primary_key=is_key, comment=comment)


def _comment(create: exp.Create) -> str:
    found = create.find(exp.SchemaCommentProperty)
    return found.this.name if found else ""


def _foreign_keys(schema: exp.Schema, table: str) -> Iterator[Relationship]:
    for column in schema.find_all(exp.ColumnDef):
        for reference in column.find_all(exp.Reference):
            yield from _joined(table, (column.name,), reference)
    for key in schema.find_all(exp.ForeignKey):
        target = key.args.get("reference")
        if isinstance(target, exp.Reference):
            yield from _joined(table, tuple(part.name for part in key.expressions), target)


def _joined(table: str, columns: tuple[str, ...], reference: exp.Reference) -> Iterator[Relationship]:
    target = reference.this
    # REFERENCES without columns means the primary key, which is in another statement.
    if isinstance(target, exp.Schema) and len(target.expressions) == len(columns):
        yield Relationship(table, columns, target.this.name, tuple(part.name for part in target.expressions))
