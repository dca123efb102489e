"""A query as data, so that one meaning can be said in words, written as SQL, and varied."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from backend.mini.database import ColumnSpec, Link, TableSpec

Aggregate = Literal["count", "count distinct", "sum", "avg", "min", "max", "share"]
Operator = Literal[
    "=", "<>", ">", "<", ">=", "<=", "between", "year", "month", "since", "before", "like", "in", "null", "not null"
]
Value = str | int | float

HELD_OUT_OF = 6
"""One pattern in so many is kept from training."""
_BASIC = frozenset({"count", "sum", "avg", "min", "max", "show 1", "show 2", "=", "year", "group", "top", "1 joins"})


@dataclass(frozen=True, slots=True)
class Ref:
    """A column of a table of the query."""

    table: TableSpec
    column: ColumnSpec


@dataclass(frozen=True, slots=True)
class Filter:
    """`values` are one for a comparison, two for `between`, several for `in`, none for a
    missing value; year and month are ISO prefixes."""

    ref: Ref
    operator: Operator
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Measure:
    """What is computed; `ref` is `None` for a count of rows. A share is that of the rows that meet `condition`."""

    aggregate: Aggregate
    ref: Ref | None = None
    condition: Filter | None = None
    divisor: int | None = None
    """Where a column is kept in a smaller unit than the one asked for."""


@dataclass(frozen=True, slots=True)
class Query:
    """Either measures or `shown` columns. `links` join the table to its parents, in order.

    `having` is a least count a group; `order` sorts by a column, `top` limits, by the measure where there is no
    `order`. `above_average` keeps rows whose column is above its average; `without` keeps rows that no child refers to.
    """

    table: TableSpec
    measure: Measure | None = None
    second: Measure | None = None
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

    @property
    def measures(self) -> tuple[Measure, ...]:
        return tuple(measure for measure in (self.measure, self.second) if measure is not None)


def pattern_of(query: Query) -> str:
    """The template of a query: what is left without its names and literals."""
    parts: list[str] = [measure.aggregate for measure in query.measures] or [f"show {len(query.shown)}"]
    parts += [f"share {measure.condition.operator}" for measure in query.measures if measure.condition]
    parts += [f"{len(query.links)} joins"] if query.links else []
    parts += sorted(entry.operator for entry in query.filters)
    flags = (
        ("distinct", query.distinct),
        ("group", query.group),
        ("having", query.having),
        ("order", query.order),
        ("top", query.top),
        ("above", query.above_average),
        ("without", query.without),
        ("of a parent", any(ref.table != query.table for ref in query.shown)),
    )
    return ", ".join([*parts, *(name for name, given in flags if given)])


def is_held_out(query: Query) -> bool:
    """Whether training never shows the query's template; the plainest ones it has to show."""
    pattern = pattern_of(query)
    parts = pattern.split(", ")
    if len(parts) == 1 or (len(parts) == 2 and _BASIC.issuperset(parts)):
        return False
    return int.from_bytes(sha256(pattern.encode()).digest()[:4], "big") % HELD_OUT_OF == 0


def tables_of(query: Query) -> set[str]:
    linked = {name for link in query.links for name in (link.child, link.parent)}
    return {query.table.name, *linked, *([query.without.child] if query.without else [])}


def refs_of(query: Query) -> list[Ref]:
    """The columns that the question speaks of."""
    refs = [*query.shown, *(entry.ref for entry in query.filters)]
    refs += [measure.ref for measure in query.measures if measure.ref is not None]
    refs += [measure.condition.ref for measure in query.measures if measure.condition is not None]
    return list(
        dict.fromkeys([*refs, *(ref for ref in (query.group, query.order, query.above_average) if ref is not None)])
    )
