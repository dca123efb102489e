"""Whether two statements are one after normalisation: the measure where no database is there to run them on.

Put aside are case, spaces, quotes, aliases, the order of different tables and of conditions, the sides of a
comparison, and whether an inner join stands in FROM or in WHERE. Statements that mean the same can still differ, so
the figure is a lower bound of the execution match, as "exact match" is in the text-to-SQL literature.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import sqlglot
from sqlglot import exp
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import traverse_scope

from kb.sql_failures import SQL_FAILURES

_DIALECT = "mysql"
"""In which the template sets are written: what stands in double quotes is a text there, as in single quotes."""
_MIRRORED: Mapping[type[exp.Binary], type[exp.Binary]] = {exp.GT: exp.LT, exp.GTE: exp.LTE}

Tables = tuple[tuple[str, tuple[str, ...]], ...]
"""Each table with its columns."""


def same_sql(expected: str, actual: str, tables: Tables) -> bool:
    """Some of the sets' own statements cannot be parsed; those are compared as text, but for case and spaces."""
    wanted = normalised(expected, tables)
    if wanted is None:
        return _plain(expected) == _plain(actual)
    return wanted == normalised(actual, tables)


def _plain(sql: str) -> str:
    return " ".join(sql.lower().rstrip("; \n").split())


@lru_cache(maxsize=16_384)
def normalised(sql: str, tables: Tables) -> str | None:
    """One spelling of all that count as the same; `None` where `sql` cannot be parsed or resolved."""
    try:
        tree = _qualified(sqlglot.parse_one(sql, read=_DIALECT), tables)
        _name_tables(tree)
        for select in tree.find_all(exp.Select):
            _flatten(select)
        holder = exp.Subquery(this=tree)
        for node in reversed(list(tree.walk())):
            _order(node)
        return str(holder.this.sql(dialect=_DIALECT, comments=False))
    except SQL_FAILURES:
        return None


def _qualified(tree: exp.Expr, tables: Tables) -> exp.Expr:
    """In lower case, every column with its table."""
    for name in tree.find_all(exp.Identifier):
        name.set("this", name.this.lower())
        name.set("quoted", False)
    columns: dict[str, object] = {
        table.lower(): {column.lower(): "TEXT" for column in listed} for table, listed in tables
    }
    return qualify(
        tree,
        dialect=_DIALECT,
        schema=columns,
        expand_stars=False,
        validate_qualify_columns=False,
        quote_identifiers=False,
        identify=False,
    )


def _name_tables(tree: exp.Expr) -> None:
    """Each table is called after itself and its place among its like, whatever its alias was."""
    seen: dict[str, int] = {}
    columns: list[tuple[exp.Column, str]] = []
    sources: list[tuple[exp.Table, str]] = []
    for scope in traverse_scope(tree):
        names: dict[str, str] = {}
        for alias, source in scope.sources.items():
            if isinstance(source, exp.Table):
                number = seen[source.name] = seen.get(source.name, -1) + 1
                names[alias] = f"{source.name}{number}"
                sources.append((source, names[alias]))
        columns += [(column, names[column.table]) for column in scope.columns if column.table in names]
    for column, name in columns:
        column.set("table", exp.to_identifier(name))
    for source, name in sources:
        source.set("alias", exp.TableAlias(this=exp.to_identifier(name)))


def _flatten(select: exp.Select) -> None:
    """Inner joins become a list of tables in alphabetical order with their conditions in WHERE; results lose names."""
    if select.find_ancestor(exp.From, exp.Join) is None:
        _drop_result_names(select)
    origin, joins = select.find(exp.From), select.args.get("joins") or []
    if origin is None or origin.parent is not select or any(join.side or join.args.get("using") for join in joins):
        return
    tables = sorted([origin.this, *(join.this for join in joins)], key=lambda table: str(table.sql()))
    where = select.args.get("where")
    conditions = [join.args["on"] for join in joins if join.args.get("on")] + ([where.this] if where else [])
    origin.set("this", tables[0])
    select.set("joins", [exp.Join(this=table) for table in tables[1:]])
    select.set("where", exp.Where(this=exp.and_(*conditions)) if conditions else None)


def _drop_result_names(select: exp.Select) -> None:
    """Where a name stood for a result (`ORDER BY n`), what it is of stands instead."""
    results = {column.alias: column.unalias() for column in select.expressions if column.alias}
    for part in ("having", "order"):
        clause = select.args.get(part)
        for name in list(clause.find_all(exp.Column)) if clause else []:
            if not name.table and name.name in results:
                name.replace(results[name.name].copy())
    select.set("expressions", [column.unalias() for column in select.expressions])


def _order(node: exp.Expr) -> None:
    """Operands of what commutes come in alphabetical order. What is inside `node` has its order already."""
    if isinstance(node, exp.Paren) and (
        isinstance(node.this, exp.Predicate | exp.Paren)
        or (
            isinstance(node.this, exp.And | exp.Or)
            and isinstance(node.parent, exp.Where | exp.Having | type(node.this))
        )
    ):
        node.replace(node.this)
    elif isinstance(node, exp.And | exp.Or) and not isinstance(node.parent, type(node)):
        parts = sorted(node.flatten(), key=lambda part: str(part.sql()))
        node.replace((exp.and_ if isinstance(node, exp.And) else exp.or_)(*parts))
    elif isinstance(node, exp.EQ | exp.NEQ) and node.left.sql() > node.right.sql():
        left, right = node.left, node.right
        node.set("this", right)
        node.set("expression", left)
    elif isinstance(node, exp.GT | exp.GTE):
        node.replace(_MIRRORED[type(node)](this=node.right, expression=node.left))
