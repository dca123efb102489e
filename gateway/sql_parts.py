"""A statement as the parts that it is made of, so that two statements can be compared part by part.

Aliases are gone: a column is `table.column`, whatever the statement called the table. Subqueries give parts of their
own and leave a placeholder where they stood, so that no part holds another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import sqlglot
from sqlglot import exp
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, traverse_scope

from kb.sql_failures import SQL_FAILURES

PartKind = Literal["table", "join", "filter", "output", "group", "order", "shape"]
Tables = Mapping[str, Collection[str]]
"""Table → its columns."""

_SUBQUERY = exp.to_identifier("subquery")
_COMPARED = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)


@dataclass(frozen=True, slots=True)
class Part:
    """`shape` is what must simply be the same: kinds of joins, limits, DISTINCT, UNION."""

    kind: PartKind
    tree: exp.Expr

    @property
    def columns(self) -> frozenset[str]:
        return frozenset(column_name(column) for column in self.tree.find_all(exp.Column))


def parts_of(sql: str, dialect: str, tables: Tables) -> list[Part] | None:
    """`None` where the statement is no query or cannot be resolved against `tables`. Case never matters in names."""
    schema: dict[str, object] = {
        table.lower(): dict.fromkeys((column.lower() for column in columns), "TEXT")
        for table, columns in tables.items()
    }
    try:
        tree = sqlglot.parse_one(sql, dialect=dialect)
        for name in tree.find_all(exp.Identifier):
            name.replace(exp.to_identifier(name.name.lower(), quoted=False))
        tree = qualify(tree, dialect=dialect, schema=schema, expand_stars=False, quote_identifiers=False)
        scopes = list(traverse_scope(tree))
    except SQL_FAILURES:
        return None
    if not isinstance(tree, exp.Query):
        return None
    _resolve(scopes, tables)
    return [part for scope in scopes for part in _parts(scope.expression)]


def column_name(column: exp.Column) -> str:
    return f"{column.table}.{column.name}" if column.table else column.name


def bare(tree: exp.Expr) -> exp.Expr:
    """Without parentheses and alias around it."""
    while isinstance(tree, (exp.Paren, exp.Alias)):
        tree = tree.this
    return tree


def only_in(parts: Iterable[Part], others: Iterable[Part]) -> list[Part]:
    """The parts that the others lack, as often as they lack them."""
    lacking = Counter(map(_key, others))
    kept: list[Part] = []
    for part in parts:
        if lacking[_key(part)]:
            lacking[_key(part)] -= 1
        else:
            kept.append(part)
    return kept


def _key(part: Part) -> tuple[str, str]:
    return part.kind, part.tree.sql(comments=False)


def of_kind(parts: Iterable[Part], kind: PartKind) -> list[Part]:
    return [part for part in parts if part.kind == kind]


def tables_of(parts: Iterable[Part]) -> Counter[str]:
    """The tables that the parts are read from, as often as they are."""
    return Counter(part.tree.name for part in parts if part.kind == "table")


def columns_of(parts: Iterable[Part]) -> frozenset[str]:
    return frozenset(column for part in parts for column in part.columns)


def tables_in(columns: Collection[str]) -> set[str]:
    return {column.rpartition(".")[0] for column in columns}


def joined(join: Part) -> frozenset[str]:
    """The tables that a join is between."""
    return frozenset(tables_in(join.columns))


def with_table(part: Part, wrong: str, right: str) -> Part:
    """The part, had it been written of another table."""

    def moved(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Table) and node.name == wrong:
            return exp.to_table(right)
        if isinstance(node, exp.Column) and node.table == wrong:
            return exp.column(node.name, table=right)
        return node

    return Part(part.kind, part.tree.copy().transform(moved))


def with_column(part: Part, wrong: str, right: str) -> Part:
    """The part, had it been written with another column."""
    table, _, column = right.partition(".")

    def moved(node: exp.Expr) -> exp.Expr:
        return exp.column(column, table=table) if isinstance(node, exp.Column) and column_name(node) == wrong else node

    return Part(part.kind, part.tree.copy().transform(moved))


def _resolve(scopes: list[Scope], tables: Tables) -> None:
    """Give each column of a known table that table's name, in the schema's spelling."""
    by_lower = {table.lower(): table for table in tables}
    found: list[tuple[exp.Column, str, str]] = []
    for scope in scopes:
        for column in scope.columns:
            source = scope.sources.get(column.table)
            if isinstance(source, exp.Table) and source.name.lower() in by_lower:
                table = by_lower[source.name.lower()]
                names = {name.lower(): name for name in tables[table]}
                found.append((column, table, names.get(column.name.lower(), column.name)))
    # Renamed when all are found, since an inner scope looks its columns up by the outer one's aliases.
    for column, table, name in found:
        column.set("table", exp.to_identifier(table))
        column.set("this", exp.to_identifier(name))
    for scope in scopes:
        for source in scope.sources.values():
            if isinstance(source, exp.Table) and source.name.lower() in by_lower:
                source.set("this", exp.to_identifier(by_lower[source.name.lower()]))


def _parts(query: exp.Expr) -> Iterator[Part]:
    if not isinstance(query, exp.Select):
        yield Part("shape", exp.Var(this=type(query).__name__))
        return
    outputs = {entry.alias: bare(entry) for entry in query.selects if isinstance(entry, exp.Alias)}
    yield from _sources(query)
    for clause in (query.args.get("where"), query.args.get("having")):
        if clause is not None:
            yield from _conditions(clause.this)
    yield from (Part("output", _alone(entry)) for entry in query.selects)
    group, order = query.args.get("group"), query.args.get("order")
    yield from (Part("group", _alone(entry)) for entry in (group.expressions if group else ()))
    yield from (Part("order", _named(_alone(entry), outputs)) for entry in (order.expressions if order else ()))
    yield from (Part("shape", clause) for key in ("distinct", "limit", "offset") if (clause := query.args.get(key)))


def _sources(query: exp.Select) -> Iterator[Part]:
    joins = query.args.get("joins") or ()
    clause = query.args.get("from_")
    for source in ((clause.this,) if clause else ()) + tuple(join.this for join in joins):
        if isinstance(source, exp.Table):
            yield Part("table", exp.to_table(source.name))
    for join in joins:
        if join.side:
            yield Part("shape", exp.Var(this=f"{join.side} JOIN {join.this.name}"))
        if condition := join.args.get("on"):
            yield from _conditions(condition)


def _conditions(condition: exp.Expr) -> Iterator[Part]:
    """What must hold together; `BETWEEN` is its two bounds."""
    tree = bare(condition)
    if isinstance(tree, exp.And):
        yield from _conditions(tree.left)
        yield from _conditions(tree.right)
    elif isinstance(tree, exp.Between):
        for kind, bound in ((exp.GTE, tree.args["low"]), (exp.LTE, tree.args["high"])):
            yield Part("filter", _alone(kind(this=tree.this.copy(), expression=bound)))
    elif isinstance(tree, exp.EQ) and isinstance(tree.left, exp.Column) and isinstance(tree.right, exp.Column):
        sides = sorted((tree.left, tree.right), key=column_name)
        yield Part("join", exp.EQ(this=sides[0].copy(), expression=sides[1].copy()))
    else:
        yield Part("filter", _one_way(_alone(tree)))


def _one_way(tree: exp.Expr) -> exp.Expr:
    """`IN` of one value is `=`, and a literal stands to the right of what it is compared with."""
    if isinstance(tree, exp.In) and len(tree.expressions) == 1:
        return exp.EQ(this=tree.this, expression=tree.expressions[0])
    if isinstance(tree, _COMPARED) and isinstance(tree.left, exp.Literal) and not isinstance(tree.right, exp.Literal):
        turned = {exp.GT: exp.LT, exp.LT: exp.GT, exp.GTE: exp.LTE, exp.LTE: exp.GTE}
        return turned.get(type(tree), type(tree))(this=tree.right, expression=tree.left)
    return tree


def _alone(tree: exp.Expr) -> exp.Expr:
    """A copy with placeholders for its subqueries."""
    return bare(tree.copy()).transform(lambda node: _SUBQUERY.copy() if isinstance(node, exp.Query) else node)


def _named(tree: exp.Expr, outputs: Mapping[str, exp.Expr]) -> exp.Expr:
    """With what an alias of the output stands for in its place."""

    def meant(node: exp.Expr) -> exp.Expr:
        known = outputs.get(node.name) if isinstance(node, exp.Column) and not node.table else None
        return _alone(known) if known is not None else node

    return tree.transform(meant)
