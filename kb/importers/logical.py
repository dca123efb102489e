"""Tables and columns that a semantic layer names, over those that the database has.

Such a layer's SQL speaks of logical names; the datasource knows none of them. Its own engine puts a WITH in front of
each query, and so does this. A table whose columns have their own names is named in place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlglot import exp

from kb.importers.statement import Statements

_PLAIN = re.compile(r'[A-Za-z_][A-Za-z0-9_$]*|"[^"]+"')


@dataclass(frozen=True, slots=True)
class LogicalTable:
    """`columns` maps each logical column to its expression. `source` is the database's table, or with `is_query` a
    query in the layer's place of one."""

    name: str
    source: str
    columns: Mapping[str, str]
    is_query: bool = False

    @property
    def renames_nothing(self) -> bool:
        return not self.is_query and all(physical(text) == name for name, text in self.columns.items())


def physical(expression: str) -> str | None:
    """The column that an expression is no more than the name of."""
    return expression.strip('"') if _PLAIN.fullmatch(expression) else None


class LogicalTables:
    """`prefix` is what queries put in front of a table's name; `namespace` the schema they may write before it."""

    def __init__(
        self, tables: Iterable[LogicalTable], statements: Statements, *, prefix: str = "", namespace: str = ""
    ) -> None:
        self._tables = {table.name.lower(): table for table in tables}
        self._statements = statements
        self._prefix, self._namespace = prefix, namespace

    def expression(self, sql: str, table: LogicalTable) -> str:
        """`sql` over the database's columns; as it was where nothing is to be changed or it cannot be read."""
        tree = self._statements.tree(sql)
        if tree is None:
            return sql
        of = {name.lower(): text for name, text in table.columns.items() if physical(text) != name}
        holder = exp.Paren(this=tree)
        changed = False
        for column in list(holder.find_all(exp.Column)):
            text = of.get(column.name.lower())
            if text is None or column.table.lower() not in ("", table.name.lower()):
                continue
            meant = self._statements.tree(text)
            if meant is None:
                return sql
            column.replace(meant if isinstance(meant, exp.Column) else exp.Paren(this=meant))
            changed = True
        return str(holder.this.sql(dialect=self._statements.dialect)) if changed else sql

    def query(self, sql: str) -> str | None:
        """The query over the database's tables; `None` where it cannot be read."""
        tree = self._statements.query(sql)
        if tree is None:
            return None
        tree = tree.copy()
        names = {cte.alias_or_name.lower() for cte in tree.find_all(exp.CTE)}
        put_in_front: dict[str, LogicalTable] = {}
        changed = False
        for node in list(tree.find_all(exp.Table)):
            table = self._meant(node)
            if table is None or (node.name.lower() in names and not node.db):
                continue
            if not table.renames_nothing:
                put_in_front.setdefault(node.name, table)
                _rename(node, node.name)
            elif node.name != table.source or node.db:
                _rename(node, table.source)
            else:
                continue
            changed = True
        if not changed:
            return sql
        return self._with(tree, put_in_front)

    def _meant(self, node: exp.Table) -> LogicalTable | None:
        if node.db and node.db.lower() != self._namespace.lower():
            return None
        name = node.name.lower()
        return self._tables.get(name) or self._tables.get(name.removeprefix(self._prefix))

    def _with(self, tree: exp.Query, tables: Mapping[str, LogicalTable]) -> str | None:
        named = {column.name.lower() for column in tree.find_all(exp.Column)}
        everything = any(not isinstance(star.parent, exp.Count) for star in tree.find_all(exp.Star))
        own = list(tree.ctes)
        for name, table in tables.items():
            select = self._select(table, None if everything else named)
            if select is None:
                return None
            tree = tree.with_(exp.to_identifier(name), as_=select, append=True, copy=False)
        ctes = tree.ctes
        if own:
            # A query's own ones may read from those that were added.
            ctes[0].parent.set("expressions", [*ctes[len(own) :], *own])  # type: ignore[union-attr]
        return str(tree.sql(dialect=self._statements.dialect, pretty=True))

    def _select(self, table: LogicalTable, named: set[str] | None) -> exp.Query | None:
        if table.is_query:
            return self._statements.query(table.source)
        columns = {name: text for name, text in table.columns.items() if named is None or name.lower() in named}
        parts = []
        for name, text in (columns or table.columns).items():
            meant = self._statements.tree(text)
            if meant is None:
                return None
            parts.append(meant if physical(text) == name else exp.alias_(meant, name))
        return exp.select(*parts).from_(exp.to_table(exp.to_identifier(table.source).sql()))


def _rename(node: exp.Table, name: str) -> None:
    """Keeps the name that the query uses for it as its alias."""
    if not node.alias and node.name.lower() != name.lower():
        node.set("alias", exp.TableAlias(this=exp.to_identifier(node.name)))
    node.set("this", exp.to_identifier(name))
    node.set("db", None)
    node.set("catalog", None)
