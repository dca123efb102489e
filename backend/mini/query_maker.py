"""Random queries over a database: filters, aggregates, groups, joins, order and limit, dates, shares, nesting.

Literals are taken from rows, so that a query finds something.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from random import Random

from backend.mini.database import DatabaseSpec, Link, TableSpec
from backend.mini.query import Aggregate, Filter, Measure, Operator, Query, Ref, Value, is_held_out
from backend.mini.sql_writer import PLAIN, Hand, SqlWriter, name
from backend.mini.vocabulary import Role

_NUMERIC: tuple[Role, ...] = ("amount", "count", "ratio")
_AGGREGATES: tuple[Aggregate, ...] = ("sum", "avg", "min", "max")
TRIES = 30
HELD_OUT_TRIES = 400
_LINK_SHARES = (0.5, 0.5, 0.35)
"""How often a query joins a parent, its parent, and so on."""


@dataclass(frozen=True, slots=True)
class QueryMaker:
    """Makes queries on one filled database: of the templates that are trained on, or of those held out."""

    spec: DatabaseSpec
    connection: sqlite3.Connection
    random: Random
    held_out: bool = False

    def make(self) -> Query | None:
        """A query that returns at least one row with a value; `None` where none is found in so many tries."""
        for _ in range(HELD_OUT_TRIES if self.held_out else TRIES):
            query = self._random_query()
            if query is not None and self.wanted(query) and self.answers(query):
                return query
        return None

    def wanted(self, query: Query, *meant: Query) -> bool:
        """Whether the template may be shown; in training, that of what the query comes to mean as well."""
        if self.held_out:
            return is_held_out(query)
        return not any(map(is_held_out, (query, *meant)))

    def sql(self, query: Query, hand: Hand = PLAIN) -> str:
        return SqlWriter(query, {table.name: table for table in self.spec.tables}, hand).sql()

    def answers(self, query: Query) -> bool:
        rows = self.rows(query)
        return any(cell is not None for row in rows for cell in row) and rows != [(0,)]

    def rows(self, query: Query) -> list[tuple[object, ...]]:
        return self.connection.execute(self.sql(query)).fetchall()

    def _random_query(self) -> Query | None:
        table = self.random.choice(self.spec.tables)
        kinds = (self._count, self._count, self._aggregate, self._aggregate, self._shown, self._grouped, self._top)
        rarer = (self._above_average, self._without, self._distinct, self._share, self._sorted)
        return self.random.choice(kinds + rarer if self.random.random() < 0.6 else kinds)(table)

    def _count(self, table: TableSpec) -> Query:
        links = self._links(table)
        return Query(table, Measure("count"), links=links, filters=self._filters(table, links, least=1))

    def _aggregate(self, table: TableSpec) -> Query | None:
        numbers = table.of_role(*_NUMERIC)
        if not numbers:
            return None
        links = self._links(table)
        ref = Ref(table, self.random.choice(numbers))
        first, second = self.random.sample(_AGGREGATES, 2)
        also = Measure(second, ref) if self.random.random() < 0.15 else None
        return Query(table, Measure(first, ref), also, links=links, filters=self._filters(table, links))

    def _share(self, table: TableSpec) -> Query | None:
        """Which part of the rows meets a condition."""
        condition = self.filter(table)
        if condition is None or condition.operator in ("<>", "between"):
            return None
        filters = self._filters(table, ()) if self.random.random() < 0.4 else ()
        group = self.group(table, ()) if self.random.random() < 0.2 else None
        if any(entry.ref == condition.ref for entry in filters) or (group is not None and group == condition.ref):
            return None
        return Query(table, Measure("share", condition=condition), filters=filters, group=group)

    def _shown(self, table: TableSpec) -> Query:
        columns = [column for column in table.columns if column.role not in (None, "flag")]
        shown: tuple[Ref, ...] = tuple(
            Ref(table, column) for column in self.random.sample(columns, min(len(columns), self._few()))
        )
        links = self._links(table)
        if len(links) == 1 and self.random.random() < 0.5:
            parent = self.spec.table(links[0].parent)
            shown += (Ref(parent, self.random.choice(parent.of_role("label", "category", "code"))),)
            filters = self._filters(table, ()) if self.random.random() < 0.6 else ()
            return Query(table, shown=shown, links=links, filters=filters)
        return Query(table, shown=shown, links=links, filters=self._filters(table, links, least=1))

    def _sorted(self, table: TableSpec) -> Query | None:
        """Rows in an order, without a limit."""
        labels, ordered = table.of_role("label", "code"), table.of_role(*_NUMERIC, "date")
        if not labels or not ordered:
            return None
        order, label = Ref(table, self.random.choice(ordered)), Ref(table, self.random.choice(labels))
        shown = (label, order) if self.random.random() < 0.3 else (label,)
        filters = self._filters(table, ()) if self.random.random() < 0.3 else ()
        return Query(table, shown=shown, order=order, descending=self.random.random() < 0.5, filters=filters)

    def _grouped(self, table: TableSpec) -> Query | None:
        links = self._links(table)
        group = self.group(table, links)
        if group is None:
            return None
        having = self.random.randint(2, 4) if self.random.random() < 0.25 else None
        filters = self._filters(table, links) if self.random.random() < 0.3 else ()
        return Query(table, self.measure(table), links=links, group=group, having=having, filters=filters)

    def _top(self, table: TableSpec) -> Query | None:
        top, descending = self.random.choice((1, 1, 3, 5)), self.random.random() < 0.7
        if self.random.random() < 0.5:
            grouped = self._grouped(table)
            if grouped is None or grouped.having is not None:
                return None
            return replace(grouped, top=top, descending=descending)
        labels, ordered = table.of_role("label", "code"), table.of_role(*_NUMERIC, "date")
        if not labels or not ordered:
            return None
        shown, order = (Ref(table, self.random.choice(labels)),), Ref(table, self.random.choice(ordered))
        filters = self._filters(table, ()) if self.random.random() < 0.3 else ()
        return Query(table, shown=shown, order=order, top=top, descending=descending, filters=filters)

    def _above_average(self, table: TableSpec) -> Query | None:
        labels, numbers = table.of_role("label"), table.of_role(*_NUMERIC)
        if not labels or not numbers:
            return None
        number = Ref(table, self.random.choice(numbers))
        if self.random.random() < 0.4:
            return Query(table, Measure("count"), above_average=number)
        return Query(table, shown=(Ref(table, labels[0]),), above_average=number)

    def _without(self, table: TableSpec) -> Query | None:
        children = [link for link in self.spec.links if link.parent == table.name]
        labels = table.of_role("label")
        if not children or not labels:
            return None
        without = self.random.choice(children)
        if self.random.random() < 0.4:
            return Query(table, Measure("count"), without=without)
        return Query(table, shown=(Ref(table, labels[0]),), without=without)

    def _distinct(self, table: TableSpec) -> Query | None:
        columns = table.of_role("category")
        if not columns:
            return None
        ref = Ref(table, self.random.choice(columns))
        filters = self._filters(table, ()) if self.random.random() < 0.4 else ()
        filters = tuple(entry for entry in filters if entry.ref != ref)
        if self.random.random() < 0.5:
            return Query(table, Measure("count distinct", ref), filters=filters)
        return Query(table, shown=(ref,), distinct=True, filters=filters)

    def measure(self, table: TableSpec) -> Measure:
        numbers = table.of_role(*_NUMERIC)
        if not numbers or self.random.random() < 0.5:
            return Measure("count")
        return Measure(self.random.choice(_AGGREGATES), Ref(table, self.random.choice(numbers)))

    def group(self, table: TableSpec, links: tuple[Link, ...]) -> Ref | None:
        tables = [self.spec.table(link.parent) for link in links] or [table]
        refs = [Ref(each, column) for each in tables for column in each.of_role("category", "label", "flag")]
        if not links:
            refs = [ref for ref in refs if ref.column.role != "label"]
        return self.random.choice(refs) if refs else None

    def _links(self, table: TableSpec) -> tuple[Link, ...]:
        """A join with a parent, now and then with one further up. No table twice."""
        chosen: list[Link] = []
        child = table.name
        for share in _LINK_SHARES:
            up = [link for link in self.spec.links if link.child == child]
            if not up or self.random.random() >= share:
                break
            chosen.append(self.random.choice(up))
            child = chosen[-1].parent
        return tuple(chosen)

    def _filters(self, table: TableSpec, links: tuple[Link, ...], least: int = 0) -> tuple[Filter, ...]:
        """A join is made for a reason: the last parent has a filter."""
        count = max(least if self.random.random() < 0.85 else 0, self.random.choice((0, 1, 1, 2)))
        tables = [table] * count
        if links:
            tables = [self.spec.table(links[-1].parent), *tables[1:]]
        made = [self.filter(each) for each in tables]
        return tuple({entry.ref: entry for entry in made if entry is not None}.values())

    def condition_like(self, entry: Filter, ref: Ref) -> Filter | None:
        """A condition with the same operator on `ref`, or `None` where twelve tries find none."""
        found = (self.condition(ref) for _ in range(12))
        return next((f for f in found if f is not None and f.operator == entry.operator and f != entry), None)

    def filter(self, table: TableSpec) -> Filter | None:
        """A condition on any column but keys, with literals from the rows."""
        columns = [column for column in table.columns if column.role is not None]
        if not columns:
            return None
        return self.condition(Ref(table, self.random.choice(columns)))

    def condition(self, ref: Ref) -> Filter | None:
        """A condition on one column; `None` where it holds no value."""
        values = self._values(ref)
        if not values:
            return None
        first = self.random.choice(values)
        match ref.column.role:
            case "amount" | "count" | "ratio":
                number = round(float(first)) if ref.column.role != "ratio" else float(first)
                operator: Operator = self.random.choice((">", "<", ">=", "<=", "between"))
                if ref.column.role == "count" and self.random.random() < 0.2:
                    operator = "="
                if operator == "between":
                    return Filter(ref, operator, (number, number + self.random.choice((5, 10, 50, 100))))
                return Filter(ref, operator, (number,))
            case "date":
                if ref.column.nullable and self.random.random() < 0.5:
                    return Filter(ref, self.random.choice(("null", "not null")), ())
                return self._date_condition(ref, str(first))
            case "category":
                others = sorted({str(value) for value in values})
                if len(others) > 2 and self.random.random() < 0.2:
                    return Filter(ref, "in", tuple(self.random.sample(others, 2)))
                return Filter(ref, "<>" if self.random.random() < 0.15 else "=", (first,))
            case "label" if self.random.random() < 0.3:
                return Filter(ref, "like", (str(first)[0],))
            case _:
                return Filter(ref, "=", (first,))

    def _date_condition(self, ref: Ref, day: str) -> Filter:
        match self.random.choice(("year", "year", "month", "since", "before", "between")):
            case "year":
                return Filter(ref, "year", (day[:4],))
            case "month":
                return Filter(ref, "month", (day[:7],))
            case "since":
                return Filter(ref, "since", (day,))
            case "before":
                return Filter(ref, "before", (day,))
            case _:
                return Filter(ref, "between", (f"{day[:4]}-01-01", f"{day[:4]}-06-30"))

    def _values(self, ref: Ref) -> list[Value]:
        sql = f"SELECT {name(ref.column.name)} FROM {name(ref.table.name)} LIMIT 40"
        return [row[0] for row in self.connection.execute(sql) if row[0] is not None]

    def _few(self) -> int:
        return self.random.choice((1, 1, 2, 3))
