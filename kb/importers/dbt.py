"""dbt's `manifest.json`, v10 to v12, and `catalog.json` where it lies beside it.

Format: schemas.getdbt.com/dbt/manifest. Models, seeds and sources become tables, `relationships` tests joins, metrics
of the semantic layer metrics; exposures, macros and disabled nodes are left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from kb.importers.dbt_metrics import metric_items
from kb.importers.errors import SourceInvalid
from kb.importers.imported import Findings, Imported, Known, entity, relationship_item, schema_item
from kb.importers.record import Record, read_json
from kb.importers.source import within
from kb.importers.statement import Statements, dialect_of
from kb.items import Column, Provenance, Relationship, Schema

VERSIONS = ("v10", "v11", "v12")
_VERSION = re.compile(r"/manifest/(v\d+)\.json")
_CALL = re.compile(r"(?:ref|source)\s*\(([^()]*)\)")
_NAME = re.compile(r"""['"]([^'"]+)['"]""")


def import_dbt(path: Path, known: Known) -> Imported:
    """Schema, relationship and metric items. Raises `SourceInvalid` for another version, too."""
    manifest = read_json(path)
    metadata = manifest.record("metadata")
    found = _VERSION.search(metadata.text("dbt_schema_version")) if metadata else None
    if metadata is None or found is None or found[1] not in VERSIONS:
        problem = f"is {found[1] if found else 'no manifest'}; read are manifests {VERSIONS[0]} to {VERSIONS[-1]}"
        raise SourceInvalid(str(path), f"{problem}, of dbt 1.6 and later", field="$.metadata.dbt_schema_version")
    catalog = within(path.resolve().parent, path.resolve().with_name("catalog.json"))
    findings = Findings(str(path))
    reader = _Reader(manifest, read_json(catalog) if catalog else None, Provenance(f"dbt {path.name}"), findings)
    reader.read()
    statements = Statements.of(known, findings.tables(), dialect_of(metadata.text("adapter_type")))
    for item, record in metric_items(manifest, statements, reader.provenance):
        findings.add(item, record.place())
    return findings.done("models, seeds or sources with columns")


@dataclass(slots=True)
class _Table:
    record: Record
    body: Schema


@dataclass(slots=True)
class _Reader:
    manifest: Record
    catalog: Record | None
    provenance: Provenance
    findings: Findings
    tables: dict[str, _Table] = field(default_factory=dict)
    """By unique id."""

    def read(self) -> None:
        tests = []
        for key, node in self.manifest.entries("nodes"):
            kind = node.text("resource_type")
            if kind in ("model", "seed", "snapshot"):
                self._table(key, node, node.text("alias") or node.required("name"))
            elif kind == "test" and node.record("test_metadata") is not None:
                tests.append(node)
        for key, source in self.manifest.entries("sources"):
            self._table(key, source, source.text("identifier") or source.required("name"))
        for test in tests:
            self._test(test)
        for table in self.tables.values():
            record, body = table.record, table.body
            names = (entity(body.table, (record.text("name"),) if record.text("name") != body.table else ()),)
            self.findings.add(
                schema_item(body.table, body.columns, body.comment, self.provenance, names), record.place()
            )

    def _table(self, key: str, node: Record, name: str) -> None:
        config = node.record("config")
        if config is not None and config.text("materialized") == "ephemeral":
            return  # no table of the database stands behind it
        taken = next((other for other, table in self.tables.items() if table.body.table == name), None)
        if taken is not None:
            # A base names a table by its bare name, as an introspection of the default schema does.
            self.findings.warn(f"{node.file}: {key} has the table name of {taken}; left out")
            return
        columns = tuple(self._columns(key, node))
        self.tables[key] = _Table(node, Schema(name, columns, comment=node.text("description")))

    def _columns(self, key: str, node: Record) -> Iterator[Column]:
        real = {name.lower(): (name, record) for name, record in self._catalog_columns(key)}
        for name, record in node.entries("columns"):
            said = record.text("name") or name
            catalogued = real.pop(said.lower(), None)
            meta = record.record("meta")
            type_ = catalogued[1].text("type") if catalogued else record.text("data_type")
            type_ = type_ or (meta.text("data_type") if meta else "") or "unknown"
            kinds = {constraint.text("type") for constraint in record.records("constraints")}
            is_key = "primary_key" in kinds
            yield Column(said, type_, not (is_key or "not_null" in kinds), is_key, record.text("description"))
        for name, record in real.values():
            yield Column(name, record.text("type") or "unknown", comment=record.text("comment"))

    def _catalog_columns(self, key: str) -> list[tuple[str, Record]]:
        group = self.catalog.record("sources" if key.startswith("source.") else "nodes") if self.catalog else None
        node = group.record(key) if group else None
        return node.entries("columns") if node else []

    # ── tests ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _test(self, test: Record) -> None:
        metadata = test.record("test_metadata")
        assert metadata is not None, "only generic tests come here"
        arguments = metadata.record("kwargs")
        # dbt 1.10 moved them a level down.
        arguments = (arguments.record("arguments") or arguments) if arguments else None
        child = self._tested(test, arguments)
        column = test.text("column_name") or (arguments.text("column_name") if arguments else "")
        if child is None or arguments is None or not column:
            return
        match metadata.text("name"):
            case "relationships":
                self._relationship(test, arguments, child, column)
            case "not_null":
                self._change(child, column, lambda found: replace(found, nullable=False))
            case "unique":
                self._change(child, column, lambda found: replace(found, comment=_sentence(found.comment, "Unique.")))
            case "accepted_values":
                values = arguments.texts("values")
                self._change(child, column, lambda found: replace(found, samples=values))

    def _tested(self, test: Record, arguments: Record | None) -> _Table | None:
        attached = self.tables.get(test.text("attached_node"))
        if attached is not None or arguments is None:
            return attached
        return self._called(test, arguments.text("model"))

    def _called(self, test: Record, call: str) -> _Table | None:
        """The table that `ref('x')` or `source('a', 'x')` means, among those that the test depends on."""
        match = _CALL.search(call)
        names = _NAME.findall(match[1]) if match else []
        on = test.record("depends_on")
        for key in on.texts("nodes") if on else ():
            if names and key in self.tables and names[-1] in key.split("."):
                return self.tables[key]
        return None

    def _relationship(self, test: Record, arguments: Record, child: _Table, column: str) -> None:
        parent, key = self._called(test, arguments.text("to")), arguments.text("field")
        if parent is None or not key:
            self.findings.warn(f"{test.place()}: the test's tables are not in the manifest; no join is made")
            return
        body = Relationship(child.body.table, (column,), parent.body.table, (key,))
        self.findings.add(relationship_item(body, self.provenance), test.place())

    def _change(self, table: _Table, column: str, change: Callable[[Column], Column]) -> None:
        columns = tuple(change(each) if each.name.lower() == column.lower() else each for each in table.body.columns)
        table.body = replace(table.body, columns=columns)


def _sentence(text: str, more: str) -> str:
    return f"{text} {more}".strip()
