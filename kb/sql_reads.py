"""What SQL of an unknown dialect reads, as far as it can be told: for asking what a change of the schema touches.

Unlike `sql_columns.py`, which is for one datasource and gives all or nothing, this is lenient. A statement that names
columns nobody knows (any more) still tells the others, and case never matters.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import traverse_scope

from kb.sql_failures import SQL_FAILURES

MAX_LETTERS = 20_000
"""Resolving the columns of a statement takes time with the square of its length."""

DIALECTS = ("", "postgres", "sqlite", "bigquery", "snowflake", "tsql")
"""Tried in order: plain SQL, then those whose quotes and operators plain SQL does not read."""

_SLOT = re.compile(r"\{\{[^{}]*\}\}|\$?\{[^{}]*\}|<[\w ]+>|%\(\w+\)s")
"""Where a template leaves a value open."""


@dataclass(frozen=True, slots=True)
class Reads:
    """In small letters. `columns` are `table.column`; `loose` are columns that may be of any of the `tables`."""

    columns: frozenset[str]
    tables: frozenset[str]
    loose: frozenset[str] = frozenset()

    def __or__(self, other: Reads) -> Reads:
        return Reads(self.columns | other.columns, self.tables | other.tables, self.loose | other.loose)

    def touches(self, table: str, column: str = "") -> bool:
        """Whether a column, or without one the table itself, is read."""
        table, column = table.lower(), column.lower()
        if not column:
            return table in self.tables
        return f"{table}.{column}" in self.columns or (column in self.loose and table in self.tables)


NOTHING = Reads(frozenset(), frozenset())


def query_reads(sql: str, tables: Mapping[str, Collection[str]]) -> Reads | None:
    """`tables` maps tables to their columns. `None` where `sql` is no query in any of the dialects."""
    if "select" not in sql.lower():
        return None
    tree = _parsed(sql)
    return _reads(tree, tables) if tree is not None else None


def expression_reads(
    expression: str, tables: Mapping[str, Collection[str]], about: Collection[str] = ()
) -> Reads | None:
    """The same for an expression such as `SUM(orders.total)`, over the tables that it names.

    Columns without a table are those of the tables it is `about`, else of the one table that has all of them.
    """
    tree = _parsed(f"SELECT {expression}")
    if not isinstance(tree, exp.Select) or tree.args.get("from_") or len(tree.selects) != 1:
        return None
    columns = list(tree.find_all(exp.Column))
    named = {column.table.lower() for column in columns if column.table}
    bare = {column.name.lower() for column in columns if not column.table}
    over = {*named, *(table.lower() for table in about)} if bare or not named else named
    if bare and not over:
        over = set(_owners(bare, tables))
    if not over:
        return None
    return _reads(_over(tree, over), tables)


def _over(tree: exp.Select, tables: Collection[str]) -> exp.Select:
    first, *others = (exp.Table(this=exp.to_identifier(table, quoted=True)) for table in sorted(tables))
    tree = tree.from_(first)
    for other in others:
        tree = tree.join(other, join_type="cross")
    return tree


def _owners(columns: Collection[str], tables: Mapping[str, Collection[str]]) -> Iterator[str]:
    """The one table that has all the columns, if there is just one."""
    holding = [table for table, names in tables.items() if {*columns} <= {name.lower() for name in names}]
    if len(holding) == 1:
        yield holding[0].lower()


def _parsed(sql: str) -> exp.Query | None:
    if len(sql) > MAX_LETTERS:
        return None
    for text in dict.fromkeys((sql, _SLOT.sub("NULL", sql))):
        for dialect in DIALECTS:
            try:
                trees = [tree for tree in sqlglot.parse(text, dialect=dialect) if tree is not None]
            except SQL_FAILURES:
                continue
            # A comment behind the last semicolon is a tree of its own.
            queries = [tree for tree in trees if not isinstance(tree, exp.Semicolon)]
            if len(queries) == 1 and isinstance(queries[0], exp.Query):
                return queries[0]
    return None


def _reads(tree: exp.Query, tables: Mapping[str, Collection[str]]) -> Reads | None:
    for identifier in tree.find_all(exp.Identifier):
        identifier.set("this", identifier.name.lower())
    sources = {table.alias_or_name: table.name for table in tree.find_all(exp.Table)}
    known = {table.lower(): names for table, names in tables.items() if table.lower() in sources.values()}
    columns_of = {table: {name.lower(): "TEXT" for name in names} for table, names in known.items() if names}
    for column in tree.find_all(exp.Column):
        # A column of a known table that is not known would end it all, though others could still be told.
        columns_of.get(sources.get(column.table, ""), {})[column.name] = "TEXT"
    schema: dict[str, object] = {**columns_of}
    try:
        qualified = qualify(tree, schema=schema, expand_stars=False, validate_qualify_columns=False)
        scopes = list(traverse_scope(qualified))
    except SQL_FAILURES:
        return None
    reads = NOTHING
    for scope in scopes:
        read = {name: source.name for name, source in scope.sources.items() if isinstance(source, exp.Table)}
        columns = {f"{read[c.table]}.{c.name}" for c in scope.columns if c.table in read}
        loose = {c.name for c in scope.columns if not c.table}
        reads |= Reads(frozenset(columns), frozenset(read.values()), frozenset(loose))
    return reads
