"""A query as data, so that one meaning can be said in words, written as SQL, and varied. SQL is SQLite's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from backend.mini.database import ColumnSpec, Link, TableSpec

Aggregate = Literal["count", "count distinct", "sum", "avg", "min", "max"]
Operator = Literal["=", "<>", ">", "<", ">=", "<=", "between", "year", "month", "since", "before", "like", "in"]
Value = str | int | float


@dataclass(frozen=True, slots=True)
class Ref:
    """A column of a table of the query."""

    table: TableSpec
    column: ColumnSpec


@dataclass(frozen=True, slots=True)
class Filter:
    """`values` are one for a comparison, two for `between`, several for `in`; year and month are ISO prefixes."""

    ref: Ref
    operator: Operator
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Measure:
    """What is computed; `ref` is `None` for a count of rows."""

    aggregate: Aggregate
    ref: Ref | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """Either `measure` or `shown` columns. `links` join the table to its parents, in order.

    `having` is a least count a group; `top` orders by the measure (or by `order`), `descending` or not, and limits.
    `above_average` keeps rows whose column is above its average; `without` keeps rows that no child refers to.
    """

    table: TableSpec
    measure: Measure | None = None
    shown: tuple[Ref, ...] = ()
    distinct: bool = False
    links: tuple[Link, ...] = ()
    filters: tuple[Filter, ...] = ()
    group: Ref | None = None
    having: int | None = None
    order: Ref | None = None
    descending: bool = True
    top: int | None = None
    above_average: Ref | None = None
    without: Link | None = None


def to_sql(query: Query, parents: dict[str, TableSpec]) -> str:
    """`parents` maps the name of each linked table to its spec. Columns are qualified where tables are joined."""
    qualified = bool(query.links)
    where = [_condition(entry, qualified) for entry in query.filters]
    if query.above_average is not None:
        column = _column(query.above_average, qualified)
        where.append(f"{column} > (SELECT avg({name(query.above_average.column.name)}) FROM {name(query.table.name)})")
    if query.without is not None:
        key = _column(Ref(query.table, query.table.key), qualified)
        child, column = name(query.without.child), name(query.without.column)
        where.append(f"{key} NOT IN (SELECT {column} FROM {child} WHERE {column} IS NOT NULL)")
    parts = [f"SELECT {'DISTINCT ' if query.distinct else ''}{', '.join(_selected(query, qualified))}"]
    parts.append(f"FROM {name(query.table.name)}")
    for link in query.links:
        key = parents[link.parent].key.name
        left = f"{name(link.child)}.{name(link.column)}"
        parts.append(f"JOIN {name(link.parent)} ON {left} = {name(link.parent)}.{name(key)}")
    if where:
        parts.append(f"WHERE {' AND '.join(where)}")
    if query.group is not None:
        parts.append(f"GROUP BY {_column(query.group, qualified)}")
    if query.having is not None:
        parts.append(f"HAVING count(*) >= {query.having}")
    if query.top is not None:
        parts.append(_order(query, qualified))
    return " ".join(parts)


def name(identifier: str) -> str:
    """Quoted only where SQLite's grammar needs it."""
    return identifier if identifier.lower() not in _RESERVED else f'"{identifier}"'


def literal(value: Value) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)


def measure_sql(measure: Measure, qualified: bool) -> str:
    if measure.ref is None:
        return "count(*)"
    column = _column(measure.ref, qualified)
    return f"count(DISTINCT {column})" if measure.aggregate == "count distinct" else f"{measure.aggregate}({column})"


def _selected(query: Query, qualified: bool) -> list[str]:
    selected = [_column(query.group, qualified)] if query.group is not None else []
    if query.measure is not None:
        return [*selected, measure_sql(query.measure, qualified)]
    return [*selected, *(_column(ref, qualified) for ref in query.shown)]


def _order(query: Query, qualified: bool) -> str:
    by = _column(query.order, qualified) if query.order else measure_sql(query.measure or Measure("count"), qualified)
    return f"ORDER BY {by}{' DESC' if query.descending else ''} LIMIT {query.top}"


def _condition(entry: Filter, qualified: bool) -> str:
    column, first = _column(entry.ref, qualified), literal(entry.values[0])
    match entry.operator:
        case "between":
            return f"{column} BETWEEN {first} AND {literal(entry.values[1])}"
        case "in":
            return f"{column} IN ({', '.join(literal(value) for value in entry.values)})"
        case "year" | "month":
            return f"{column} LIKE '{entry.values[0]}-%'"
        case "since":
            return f"{column} >= {first}"
        case "before":
            return f"{column} < {first}"
        case "like":
            return f"{column} LIKE '{entry.values[0]}%'"
        case _:
            return f"{column} {entry.operator} {first}"


def _column(ref: Ref, qualified: bool) -> str:
    column = name(ref.column.name)
    return f"{name(ref.table.name)}.{column}" if qualified else column


_RESERVED = frozenset(
    "order group table index case from to where select join on is in not null and or as by set all any commit "
    "release match transaction plan references check default key values limit add alter column desc asc".split()
)
