"""A semantic model of Snowflake's Cortex Analyst (YAML).

Format: docs.snowflake.com, "Cortex Analyst semantic model specification" and "Verified Query Repository". Its SQL
speaks of logical tables and columns; items speak of the database's (`logical.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from sqlglot import exp

from kb.importers.imported import (
    Findings,
    Imported,
    Known,
    entity,
    named_id,
    question_id,
    relationship_item,
    schema_item,
    title_of,
)
from kb.importers.logical import LogicalTable, LogicalTables, physical
from kb.importers.record import Record
from kb.importers.statement import Statements
from kb.importers.yaml_file import read_yaml
from kb.items import Column, Entity, Item, Metric, Provenance, Relationship, Rule, Success, item_id
from kb.words import spoken

DIALECT = "snowflake"
_COLUMN_FIELDS = ("dimensions", "time_dimensions", "measures", "facts")
_INSTRUCTIONS = ("sql_generation", "question_categorization")


def import_snowflake(path: Path, known: Known) -> Imported:
    """Schema, relationship, metric, rule and success items.

    A verified query with `verified_by` and `verified_at` is active; any other is proposed. Raises `SourceInvalid`.
    """
    record = read_yaml(path)
    return _Reader(record, Provenance(f"snowflake {path.name}"), known, Findings(str(path))).read()


@dataclass(frozen=True, slots=True)
class VerifiedQuery:
    """`sql` speaks of the database's own tables, or as the file does where it `is_read` not."""

    record: Record
    name: str
    question: str
    sql: str
    is_read: bool


def verified_queries(path: Path) -> list[VerifiedQuery]:
    """The verified queries alone, in the file's order. Raises `SourceInvalid`."""
    record = read_yaml(path)
    reader = _Reader(record, Provenance(f"snowflake {path.name}"), Known(), Findings(str(path)))
    logical, _ = reader.logical()
    return [_verified(each, logical) for each in record.records("verified_queries")]


@dataclass(slots=True)
class _Table:
    """A logical table. `columns` are those of the database that it names; `computed` are expressions."""

    record: Record
    logical: LogicalTable
    columns: dict[str, Column]
    entities: tuple[Entity, ...]
    computed: tuple[Record, ...]


@dataclass(slots=True)
class _Reader:
    record: Record
    provenance: Provenance
    known: Known
    findings: Findings
    tables: dict[str, _Table] = field(default_factory=dict)

    def read(self) -> Imported:
        logical, statements = self.logical()
        for record in self.record.records("relationships"):
            self._relationship(record)
        for table in self.tables.values():
            for record in (*table.computed, *table.record.records("metrics"), *table.record.records("filters")):
                self.findings.add(self._metric(record, table, logical, statements), record.place())
        for record in self.record.records("metrics"):
            self.findings.add(self._metric(record, None, logical, statements), record.place())
        for record in self.record.records("verified_queries"):
            self.findings.add(self._success(record, logical, statements), record.place())
        self._instructions()
        return self.findings.done("tables, relationships, metrics or verified_queries")

    def logical(self) -> tuple[LogicalTables, Statements]:
        """Read the tables, which all else speaks of."""
        parser = Statements.of(self.known, {}, DIALECT)
        for record in self.record.records("tables"):
            table = _table(record, parser)
            if self.tables.setdefault(table.logical.name.lower(), table) is not table:
                raise record.wrong(f"a second table '{table.logical.name}'; give it another name", "name")
        for item, place in self._schemas():
            self.findings.add(item, place.place())
        statements = Statements.of(self.known, self.findings.tables(), DIALECT)
        return LogicalTables((table.logical for table in self.tables.values()), statements, prefix="__"), statements

    def _schemas(self) -> Iterator[tuple[Item, Record]]:
        """One item for each table of the database; several logical tables may stand over one."""
        by_source: dict[str, list[_Table]] = {}
        for table in self.tables.values():
            by_source.setdefault(table.logical.source, []).append(table)
        for source, tables in by_source.items():
            columns = {name: column for table in reversed(tables) for name, column in table.columns.items()}
            comment = next((text for table in tables if (text := table.record.text("description"))), "")
            entities = tuple(each for table in tables for each in table.entities)
            item = schema_item(source, tuple(columns.values()), comment, self.provenance, _joined(entities))
            yield item, tables[0].record

    def _relationship(self, record: Record) -> None:
        left, right = self._named(record, "left_table"), self._named(record, "right_table")
        keys = record.records("relationship_columns")
        if not keys:
            raise record.wrong("is missing or empty; name the columns that join the tables", "relationship_columns")
        pairs = [(_key(key, "left_column", left), _key(key, "right_column", right)) for key in keys]
        if any(None in pair for pair in pairs):
            self.findings.warn(f"{record.place()}: joins a computed column; left out")
            return
        body = Relationship(
            left.logical.source,
            tuple(str(pair[0]) for pair in pairs),
            right.logical.source,
            tuple(str(pair[1]) for pair in pairs),
        )
        self.findings.add(relationship_item(body, self.provenance), record.place())

    def _named(self, record: Record, name: str) -> _Table:
        table = self.tables.get(record.required(name).lower())
        if table is None:
            raise record.wrong(f"'{record.text(name)}' is none of the tables; check its name", name)
        return table

    def _metric(self, record: Record, table: _Table | None, logical: LogicalTables, statements: Statements) -> Item:
        name, expression = record.required("name"), record.required("expr")
        if table is not None:
            expression = logical.expression(expression, table.logical)
        reads = statements.expression_reads(expression, table.logical.source) if table else ()
        full = f"{table.logical.name}.{name}" if table else name
        is_filter = ".filters[" in record.path
        return Item(
            id=item_id("metric", full),
            title=title_of(f"{spoken(name) or name}" + (" (filter)" if is_filter else "")),
            body=Metric(record.text("description") or f"{full}, as the model defines it.", expression),
            entities=(entity(name, record.texts("synonyms")),),
            refs=(item_id("schema", table.logical.source),) if table else (),
            depends_on=reads,
            provenance=self.provenance,
        )

    def _success(self, record: Record, logical: LogicalTables, statements: Statements) -> Item:
        query = _verified(record, logical)
        question, answer, name = query.question, query.sql, query.name
        problem = statements.unread(answer)
        if problem:
            self.findings.warn(f"{record.place()}: the SQL {problem}; it is proposed")
        by, at = record.text("verified_by"), _time(record)
        verified = bool(by and at and not problem)
        return Item(
            id=named_id("success", name) if name else question_id("success", question),
            title=title_of(question),
            body=Success(question, answer),
            depends_on=statements.reads(answer),
            status="active" if verified else "proposed",
            provenance=replace(self.provenance, confirmed_by=by, confirmed_at=at) if verified else self.provenance,
        )

    def _instructions(self) -> None:
        modules = self.record.record("module_custom_instructions")
        texts = [self.record.text("custom_instructions")]
        texts += [modules.text(name) for name in _INSTRUCTIONS] if modules else []
        text = "\n\n".join(text for text in texts if text)
        if text:
            name = self.record.text("name") or "model"
            item = Item(
                id=item_id("rule", f"{'_'.join(spoken(name).split()) or 'model'}.custom_instructions"),
                title=title_of(f"Custom instructions of {name}"),
                body=Rule(text),
                provenance=self.provenance,
            )
            self.findings.add(item, self.record.place("custom_instructions"))


def _verified(record: Record, logical: LogicalTables) -> VerifiedQuery:
    question, sql = record.required("question"), record.required("sql").removesuffix(";").rstrip()
    over_tables = logical.query(sql)
    return VerifiedQuery(record, record.text("name"), question, over_tables or sql, over_tables is not None)


def _table(record: Record, parser: Statements) -> _Table:
    name, base = record.required("name"), record.record("base_table")
    if base is None:
        raise record.wrong("is missing; name the table of the database", "base_table")
    source = base.required("table").strip('"')
    key = record.record("primary_key")
    primary = {each.lower() for each in key.texts("columns")} if key else set()
    columns: dict[str, Column] = {}
    logical: dict[str, str] = {}
    entities = [entity(source, (*((name,) if name != source else ()), *record.texts("synonyms")))]
    computed = []
    for each in (each for kind in _COLUMN_FIELDS for each in record.records(kind)):
        said = each.required("name")
        expression = each.text("expr") or said
        logical[said] = expression
        column = physical(expression)
        if column is None:
            computed.append(each)
            continue
        is_key = bool({said.lower(), column.lower()} & primary)
        kind = each.text("data_type") or "unknown"
        comment, samples = each.text("description"), each.texts("sample_values")
        columns.setdefault(column, Column(column, kind, not is_key, is_key, comment, samples))
        synonyms = (*((said,) if said != column else ()), *each.texts("synonyms"))
        if synonyms:
            entities.append(Entity(f"{source}.{column}", tuple(dict.fromkeys(synonyms))))
    for each in computed:
        for column in _columns_in(parser.tree(logical[each.required("name")])):
            if column.lower() not in {known.lower() for known in (*logical, *columns)}:
                columns[column] = Column(column, "unknown")
    return _Table(record, LogicalTable(name, source, logical), columns, tuple(entities), tuple(computed))


def _columns_in(tree: exp.Expression | None) -> list[str]:
    """Columns of the database that only an expression names: queries need them, though the model tells no type."""
    return [] if tree is None else [column.name for column in tree.find_all(exp.Column) if not column.table]


def _joined(entities: tuple[Entity, ...]) -> tuple[Entity, ...]:
    """One entity for each name, with the synonyms of all."""
    found: dict[str, tuple[str, ...]] = {}
    for each in entities:
        found[each.name] = (*found.get(each.name, ()), *each.synonyms)
    return tuple(Entity(name, tuple(dict.fromkeys(synonyms))) for name, synonyms in found.items())


def _key(record: Record, name: str, table: _Table) -> str | None:
    """The database's name of a joined column; `None` for a computed one."""
    said = record.required(name)
    found = next((text for column, text in table.logical.columns.items() if column.lower() == said.lower()), None)
    return physical(found) if found is not None else said


def _time(record: Record) -> str:
    """`verified_at`, seconds since 1970, as ISO 8601; empty where it is absent."""
    text = record.text("verified_at")
    if not text:
        return ""
    try:
        return datetime.fromtimestamp(int(text), UTC).isoformat()
    except (ValueError, OverflowError, OSError) as exc:
        raise record.wrong(f"'{text[:40]}' is no time in seconds since 1970", "verified_at") from exc
