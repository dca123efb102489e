"""WrenAI's MDL: models over tables, relationships, metrics or cubes, and views, as compiled JSON (camelCase)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlglot import exp

from kb.importers.imported import Findings, Known, entity, relationship_item, schema_item, title_of
from kb.importers.logical import LogicalTable, LogicalTables, physical
from kb.importers.record import Record
from kb.importers.statement import Statements, dialect_of
from kb.items import Column, Entity, Item, Metric, Provenance, Relationship, Template, item_id


@dataclass(frozen=True, slots=True)
class Mdl:
    """What pairs beside the MDL are read with."""

    tables: LogicalTables
    statements: Statements


@dataclass(frozen=True, slots=True)
class _Model:
    record: Record
    logical: LogicalTable


def read_mdl(record: Record, provenance: Provenance, known: Known, findings: Findings) -> Mdl:
    """Add the MDL's items to `findings`."""
    return _Reader(record, provenance, known, findings).read()


@dataclass(slots=True)
class _Reader:
    record: Record
    provenance: Provenance
    known: Known
    findings: Findings
    models: dict[str, _Model] = field(default_factory=dict)

    def read(self) -> Mdl:
        for record in self.record.records("models"):
            model = _Model(record, _logical(record))
            if self.models.setdefault(model.logical.name.lower(), model) is not model:
                raise record.wrong(f"a second model '{model.logical.name}'; give it another name", "name")
            if not model.logical.is_query:
                self._schema(model)
        statements = Statements.of(self.known, self.findings.tables(), dialect_of(self.record.text("dataSource")))
        logical = [model.logical for model in self.models.values()]
        tables = LogicalTables(logical, statements, namespace=self.record.text("schema"))
        for record in self.record.records("relationships"):
            self._relationship(record, statements)
        for model in self.models.values():
            self._model_items(model, tables, statements)
        for kind, measures in (("metrics", "measure"), ("cubes", "measures")):
            for record in self.record.records(kind):
                for measure in record.records(measures):
                    self._measure(record, measure, tables, statements)
        for record in self.record.records("views"):
            statement = record.required("statement")
            self._query(record, tables.query(statement) or statement, statements)
        return Mdl(tables, statements)

    def _schema(self, model: _Model) -> None:
        table, record = model.logical.source, model.record
        keys = _primary_key(record)
        columns: dict[str, Column] = {}
        entities = [entity(table, [name for name in (model.logical.name, _said(record, "displayName")) if name])]
        for each in _columns(record):
            name = each.required("name")
            column = physical(model.logical.columns[name])
            if column is None or _is_computed(each):
                continue
            is_key = name in keys or each.flag("isPrimaryKey")
            required = is_key or each.flag("notNull")
            kind = each.text("type") or "unknown"
            columns.setdefault(column, Column(column, kind, not required, is_key, _said(each, "description")))
            others = [other for other in (name, _said(each, "displayName")) if other and other != column]
            if others:
                entities.append(Entity(f"{table}.{column}", tuple(dict.fromkeys(others))))
        comment = _said(record, "description")
        item = schema_item(table, tuple(columns.values()), comment, self.provenance, tuple(entities))
        self.findings.add(item, record.place())

    def _relationship(self, record: Record, statements: Statements) -> None:
        names = record.texts("models")
        if len(names) != 2:
            raise record.wrong(f"names {len(names)} models; two are expected", "models")
        for name in names:
            if name.lower() not in self.models:
                raise record.wrong(f"'{name}' is none of the models; check its name", "models")
        left, right = names
        if record.text("joinType").upper() == "ONE_TO_MANY":
            left, right = right, left  # the side that holds the key comes first, as in an introspection
        pairs = self._joined(record, left, right, statements)
        if pairs is None:
            self.findings.warn(f"{record.place()}: joins by more than equal columns of tables; left out")
            return
        tables = self.models[left.lower()].logical.source, self.models[right.lower()].logical.source
        columns = tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)
        body = Relationship(tables[0], columns[0], tables[1], columns[1], comment=_said(record, "description"))
        self.findings.add(relationship_item(body, self.provenance), record.place())

    def _joined(self, record: Record, left: str, right: str, statements: Statements) -> list[tuple[str, str]] | None:
        """Column pairs of `a.x = b.y AND …`; `None` for any other condition."""
        tree = statements.tree(record.required("condition"))
        if tree is None:
            return None
        pairs = []
        for part in tree.flatten() if isinstance(tree, exp.And) else [tree]:
            sides = [part.this, part.expression] if isinstance(part, exp.EQ) else []
            found = {side.table.lower(): self._column(side) for side in sides if isinstance(side, exp.Column)}
            pair = found.get(left.lower()), found.get(right.lower())
            if pair[0] is None or pair[1] is None or len(found) != len(sides):
                return None
            pairs.append((pair[0], pair[1]))
        is_query = any(self.models[name.lower()].logical.is_query for name in (left, right))
        return None if is_query else pairs

    def _column(self, column: exp.Column) -> str | None:
        model = self.models.get(column.table.lower())
        return physical(model.logical.columns.get(column.name, column.name)) if model else None

    def _model_items(self, model: _Model, tables: LogicalTables, statements: Statements) -> None:
        """Computed columns, and the query that a model without a table is."""
        if model.logical.is_query:
            # Unlike a view, it is written for the database itself.
            self._query(model.record, model.logical.source, statements)
            return
        for each in _columns(model.record):
            if _is_computed(each) or physical(model.logical.columns[each.required("name")]) is None:
                self._metric(each, model, each.text("expression"), tables, statements)

    def _measure(self, owner: Record, measure: Record, tables: LogicalTables, statements: Statements) -> None:
        base = owner.required("baseObject")
        self._metric(measure, self.models.get(base.lower()), measure.required("expression"), tables, statements, owner)

    def _metric(
        self,
        record: Record,
        model: _Model | None,
        expression: str,
        tables: LogicalTables,
        statements: Statements,
        owner: Record | None = None,
    ) -> None:
        name = record.required("name")
        group = owner.required("name") if owner else model.logical.name if model else ""
        source = model.logical if model and not model.logical.is_query else None
        meant = tables.expression(expression, source) if source else expression
        reads = statements.expression_reads(meant, source.source) if source and meant else ()
        definition = _said(record, "description") or (_said(owner, "description") if owner else "")
        item = Item(
            id=item_id("metric", f"{group}.{name}"),
            title=title_of(_said(record, "displayName") or f"{group} {name}"),
            body=Metric(definition or f"{name} of {group}, as the model defines it.", meant),
            entities=(entity(name, [other for other in (_said(record, "displayName"),) if other]),),
            refs=(item_id("schema", source.source),) if source else (),
            depends_on=reads,
            provenance=self.provenance,
        )
        self.findings.add(item, record.place())

    def _query(self, record: Record, sql: str, statements: Statements) -> None:
        name = record.required("name")
        problem = statements.unread(sql)
        if problem:
            self.findings.warn(f"{record.place()}: the SQL {problem}")
        question = _said(record, "description") or _said(record, "question") or name
        item = Item(
            id=item_id("template", name),
            title=title_of(question),
            body=Template(question, sql),
            depends_on=statements.reads(sql),
            status="proposed",
            provenance=self.provenance,
        )
        self.findings.add(item, record.place())


def _logical(record: Record) -> LogicalTable:
    name, reference, query = record.required("name"), record.record("tableReference"), record.text("refSql")
    table = reference.text("table") if reference else ""
    if bool(table) == bool(query):
        raise record.wrong("has to say where its rows are: either tableReference.table or refSql")
    columns = {}
    for each in _columns(record):
        said = each.required("name")
        columns[said] = each.text("expression") or said
    return LogicalTable(name, table or query, columns, is_query=not table)


def _columns(record: Record) -> Iterator[Record]:
    """Without those that only stand for a join, and hidden ones."""
    for each in record.records("columns"):
        if not each.text("relationship") and not each.flag("isHidden"):
            yield each


def _is_computed(column: Record) -> bool:
    return column.flag("isCalculated")


def _primary_key(record: Record) -> tuple[str, ...]:
    return (
        record.texts("primaryKey")
        if isinstance(record.values.get("primaryKey"), list)
        else (record.text("primaryKey"),)
    )


def _said(record: Record, name: str) -> str:
    properties = record.record("properties")
    return properties.text(name) if properties else ""
