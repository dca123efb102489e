"""A schema that changes while people ask: one column gets another name, another column goes."""

from __future__ import annotations

import sqlite3
from dataclasses import fields, is_dataclass, replace
from typing import Any

from backend.mini.database import ColumnSpec, DatabaseSpec, TableSpec
from backend.mini.query import Query, Ref, refs_of
from backend.mini.sql_writer import name


class SchemaChange:
    """`renamed` gets `renamed_to`, `dropped` goes; both are columns of the database as it was, `spec`."""

    def __init__(self, spec: DatabaseSpec, renamed: Ref, dropped: Ref) -> None:
        self.renamed, self.dropped = renamed, dropped
        taken = {column.name.lower() for column in renamed.table.columns}
        self.renamed_to = next(
            new for n in range(1, 100) if (new := f"{renamed.column.name}_v{n}").lower() not in taken
        )
        self._tables = {table.name: self._table_after(table) for table in spec.tables}
        self.spec = replace(spec, tables=tuple(self._tables.values()))

    def asks_what_is_gone(self, query: Query) -> bool:
        return any((ref.table.name, ref.column.name) == _key(self.dropped) for ref in refs_of(query))

    def after(self, query: Query) -> Query:
        """The same question to the changed database. It must not ask what is gone."""
        moved = self._moved(query)
        assert isinstance(moved, Query), "what goes in comes out"
        return moved

    def apply_to(self, database: sqlite3.Connection) -> None:
        table, column = map(name, _key(self.renamed))
        database.execute(f"ALTER TABLE {table} RENAME COLUMN {column} TO {name(self.renamed_to)}")
        table, column = map(name, _key(self.dropped))
        database.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        database.commit()

    def _table_after(self, table: TableSpec) -> TableSpec:
        kept = [column for column in table.columns if (table.name, column.name) != _key(self.dropped)]
        return replace(table, columns=tuple(self._column_after(table, column) for column in kept))

    def _column_after(self, table: TableSpec, column: ColumnSpec) -> ColumnSpec:
        return replace(column, name=self.renamed_to) if (table.name, column.name) == _key(self.renamed) else column

    def _moved(self, value: Any) -> Any:
        match value:
            case Ref(table=table, column=column):
                return Ref(self._tables[table.name], self._column_after(table, column))
            case TableSpec():
                return self._tables[value.name]
            case tuple():
                return tuple(map(self._moved, value))
        if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{field.name: self._moved(getattr(value, field.name)) for field in fields(value)})
        return value


def _key(ref: Ref) -> tuple[str, str]:
    return ref.table.name, ref.column.name
