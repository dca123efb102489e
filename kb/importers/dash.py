"""Dash's knowledge folder: `tables/*.json`, `business/*.json`, `queries/*.sql`.

Format: the folder `knowledge` of github.com/agno-agi/dash. A query stands between `-- <query>` and `-- </query>`; its
name and description are in comments before it, in either of the two spellings that Dash has used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kb.importers.errors import SourceInvalid
from kb.importers.imported import Findings, Imported, Known, entity, named_id, schema_item, title_of
from kb.importers.place import Place
from kb.importers.record import Record, read_json
from kb.importers.source import files_below, read_text
from kb.importers.statement import Statements
from kb.items import Column, Entity, Gotcha, Item, Metric, Provenance, Rule, Template, item_id

_NAME = re.compile(r"--\s*(?:<query name>\s*(.+?)\s*</query name>|<query\s+(?!description>)([^\s<>]+)>)\s*")
_SAID = re.compile(r"--\s*<(?:query )?description>\s*(.*?)\s*</(?:query )?description>\s*")
_SAID_OPEN = re.compile(r"--\s*<(?:query )?description>\s*(.*?)\s*")
_SAID_CLOSE = re.compile(r"--\s*(.*?)\s*</(?:query )?description>\s*")
_SQL_OPEN = re.compile(r"--\s*<query>\s*")
_SQL_CLOSE = re.compile(r"--\s*</query>\s*")
_TABLE_SPLIT = re.compile(r"[,/;]|\bor\b|\band\b")


def import_dash(path: Path, known: Known) -> Imported:
    """Schema, gotcha, metric and rule items, and each query as a proposed template. Raises `SourceInvalid`."""
    if not path.is_dir():
        raise SourceInvalid(str(path), "is no folder; give the one that holds tables/, business/ and queries/")
    reader = _Reader(path, Findings(str(path)), known)
    reader.read()
    return reader.findings.done("tables/*.json, business/*.json or queries/*.sql below it")


@dataclass(slots=True)
class _Reader:
    root: Path
    findings: Findings
    known: Known

    def read(self) -> None:
        for file in files_below(self.root, "tables", ".json"):
            self._table(read_json(file), self._provenance(file))
        statements = Statements.of(self.known, self.findings.tables())
        for file in files_below(self.root, "business", ".json"):
            _Business(read_json(file), file.stem, self._provenance(file), self.findings, statements).read()
        for file in files_below(self.root, "queries", ".sql"):
            for query in _queries(file):
                self._query(query, self._provenance(file), statements)

    def _provenance(self, file: Path) -> Provenance:
        return Provenance(f"dash {self.root.resolve().name}/{file.relative_to(self.root).as_posix()}")

    def _table(self, record: Record, provenance: Provenance) -> None:
        table = record.required("table_name")
        columns = tuple(
            Column(column.required("name"), column.text("type") or "unknown", comment=column.text("description"))
            for column in record.records("table_columns")
        )
        uses = record.texts("use_cases")
        comment = " ".join([record.text("table_description"), *([f"Used for: {'; '.join(uses)}."] if uses else [])])
        self.findings.add(schema_item(table, columns, comment.strip(), provenance), record.place())
        notes = record.texts("data_quality_notes")
        if notes:
            item = Item(
                id=item_id("gotcha", f"{table}.data_quality"),
                title=f"Data of {table}",
                body=Gotcha(_lines(notes)),
                entities=(entity(table),),
                refs=(item_id("schema", table),),
                provenance=provenance,
            )
            self.findings.add(item, record.place("data_quality_notes"))

    def _query(self, query: _Query, provenance: Provenance, statements: Statements) -> None:
        problem = statements.unread(query.sql)
        if problem:
            self.findings.warn(f"{Place(query.file, query.line)}: the SQL of '{query.name}' {problem}")
        item = Item(
            id=item_id("template", query.name),
            title=title_of(query.description or query.name),
            body=Template(query.description or query.name, query.sql),
            depends_on=statements.reads(query.sql),
            status="proposed",
            provenance=provenance,
        )
        self.findings.add(item, Place(query.file, query.line))


@dataclass(slots=True)
class _Business:
    """A file of `business/`: metrics, rules and gotchas."""

    record: Record
    name: str
    provenance: Provenance
    findings: Findings
    statements: Statements

    def read(self) -> None:
        for record in self.record.records("metrics"):
            self.findings.add(self._metric(record), record.place())
        rules = self.record.texts("business_rules")
        if rules:
            # One item, so that a rule that is edited or taken out does not stay in the base beside the new one.
            item = Item(
                id=item_id("rule", f"{self.name}.business_rules"),
                title=f"Business rules ({self.name})",
                body=Rule(_lines(rules)),
                provenance=self.provenance,
            )
            self.findings.add(item, self.record.place("business_rules"))
        for record in self.record.records("common_gotchas"):
            issue, tables = record.required("issue"), record.texts("tables_affected")
            item = Item(
                id=named_id("gotcha", issue),
                title=title_of(issue),
                body=Gotcha(f"{issue}: {record.required('solution')}"),
                entities=tuple(entity(table) for table in tables),
                refs=self._refs(tables),
                provenance=self.provenance,
            )
            self.findings.add(item, record.place())

    def _metric(self, record: Record) -> Item:
        name, definition = record.required("name"), record.required("definition")
        calculation = record.text("calculation")
        tables = [table.strip() for table in _TABLE_SPLIT.split(record.text("table"))]
        reads = self._reads(calculation, tables)
        if calculation and not reads:
            # Half of what Dash calls a calculation is prose: no expression that an engine could copy.
            definition = f"{definition}\nCalculation: {calculation}"
        return Item(
            id=named_id("metric", name),
            title=title_of(name),
            body=Metric(definition, calculation if reads else ""),
            entities=(_metric_entity(name),),
            refs=self._refs(tables),
            depends_on=reads,
            provenance=self.provenance,
        )

    def _reads(self, calculation: str, tables: list[str]) -> tuple[str, ...]:
        own = [table for table in tables if table in self.statements.tables]
        found = self.statements.reads(f"SELECT {calculation}")
        return found or (self.statements.expression_reads(calculation, own[0]) if len(own) == 1 else ())

    def _refs(self, tables: tuple[str, ...] | list[str]) -> tuple[str, ...]:
        return tuple(item_id("schema", table) for table in tables if table in self.statements.tables)


def _metric_entity(name: str) -> Entity:
    """`Annual Revenue (AR)` is asked for by either of its names."""
    match = re.fullmatch(r"(.+?)\s*\(([^()]+)\)", name)
    return Entity(match[1], (match[2].strip(),)) if match else Entity(name)


def _lines(texts: tuple[str, ...]) -> str:
    return texts[0] if len(texts) == 1 else "\n".join(f"- {text}" for text in texts)


# ── queries ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Query:
    file: str
    line: int
    name: str
    description: str
    sql: str


def _queries(file: Path) -> Iterator[_Query]:
    lines = iter(enumerate(read_text(file).splitlines(), 1))
    name, description, named_at = "", "", 0
    for number, line in lines:
        if match := _NAME.fullmatch(line.strip()):
            if name:
                raise SourceInvalid(str(file), f"query '{name}' has no '-- <query>' line", line=named_at)
            name, description, named_at = match[1] or match[2], "", number
        elif match := _SAID.fullmatch(line.strip()):
            description = match[1]
        elif _SQL_OPEN.fullmatch(line.strip()):
            if not name:
                raise SourceInvalid(str(file), "a query without a name; put '-- <query NAME>' before it", line=number)
            yield _Query(str(file), named_at, name, description, _sql(file, number, lines))
            name = ""
        elif match := _SAID_OPEN.fullmatch(line.strip()):
            description = _description(file, number, match[1], lines)
        elif line.strip() and not line.strip().startswith("--"):
            raise SourceInvalid(str(file), "SQL outside of '-- <query>' and '-- </query>' lines", line=number)
    if name:
        raise SourceInvalid(str(file), f"query '{name}' has no '-- <query>' line", line=named_at)


def _sql(file: Path, opened: int, lines: Iterator[tuple[int, str]]) -> str:
    found: list[str] = []
    for _, line in lines:
        if _SQL_CLOSE.fullmatch(line.strip()):
            sql = "\n".join(found).strip().removesuffix(";").rstrip()
            if not sql:
                raise SourceInvalid(str(file), "the query is empty", line=opened)
            return sql
        found.append(line)
    raise SourceInvalid(str(file), "the query is not closed; put a '-- </query>' line after it", line=opened)


def _description(file: Path, opened: int, first: str, lines: Iterator[tuple[int, str]]) -> str:
    found = [first]
    for _, line in lines:
        if match := _SAID_CLOSE.fullmatch(line.strip()):
            return " ".join(part for part in (*found, match[1]) if part)
        found.append(line.strip().removeprefix("--").strip())
    raise SourceInvalid(str(file), "the description is not closed", line=opened)
