"""Which columns a statement reads, as `table.column`, from its parsed tree (sqlglot)."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import sqlglot
from sqlglot import exp
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import traverse_scope

from kb.sql_failures import SQL_FAILURES


def columns_read(sql: str, dialect: str, tables: Mapping[str, Collection[str]]) -> frozenset[str]:
    """`tables` maps each known table to its columns. Empty where the statement cannot be resolved against them."""
    schema: dict[str, object] = {table: dict.fromkeys(columns, "TEXT") for table, columns in tables.items()}
    try:
        tree = qualify(sqlglot.parse_one(sql, dialect=dialect), dialect=dialect, schema=schema, expand_stars=False)
        scopes = list(traverse_scope(tree))
    except SQL_FAILURES:
        return frozenset()
    by_lower = {table.lower(): table for table in tables}
    found: set[str] = set()
    for scope in scopes:
        for column in scope.columns:
            source = scope.sources.get(column.table)
            if isinstance(source, exp.Table) and source.name.lower() in by_lower:
                table = by_lower[source.name.lower()]
                names = {name.lower(): name for name in tables[table]}
                found.add(f"{table}.{names.get(column.name.lower(), column.name)}")
    return frozenset(found)


def normal_sql(sql: str, dialect: str) -> str:
    """One spelling for statements that differ in case of keywords, spaces and quotes alone."""
    try:
        return sqlglot.parse_one(sql, dialect=dialect).sql(dialect=dialect, normalize=True, comments=False)
    except SQL_FAILURES:
        return " ".join(sql.split())


def sql_pattern(sql: str, dialect: str) -> str:
    """What statements that differ in their literals alone have in common; the statement itself where it cannot be
    parsed.
    """
    try:
        tree = sqlglot.parse_one(sql, dialect=dialect)
    except SQL_FAILURES:
        return " ".join(sql.split())
    masked = tree.transform(lambda node: exp.Placeholder() if isinstance(node, exp.Literal) else node)
    return masked.sql(dialect=dialect, normalize=True, comments=False)
