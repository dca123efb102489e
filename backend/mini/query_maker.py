"""Random queries over a database: filters, aggregates, groups, joins, order and limit, dates, nesting.

Literals are taken from rows, so that a query finds something.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from random import Random

from backend.mini.database import DatabaseSpec, Link, TableSpec
from backend.mini.query import Aggregate, Filter, Measure, Operator, Query, Ref, Value, name, to_sql
from backend.mini.vocabulary import Role

_NUMERIC: tuple[Role, ...] = ("amount", "count", "ratio")
_AGGREGATES: tuple[Aggregate, ...] = ("sum", "avg", "min", "max")
TRIES = 30


@dataclass(frozen=True, slots=True)
class QueryMaker:
    """Makes queries on one filled database."""

    spec: DatabaseSpec
    connection: sqlite3.Connection
    random: Random

    def make(self) -> Query | None:
        """A query that returns at least one row with a value; `None` where none is found in `TRIES`."""
        for _ in range(TRIES):
            query = self._random_query()
            if query is not None and self.answers(query):
                return query
        return None

    def sql(self, query: Query) -> str:
        return to_sql(query, {table.name: table for table in self.spec.tables})

    def answers(self, query: Query) -> bool:
        rows = self.rows(query)
        return any(cell is not None for row in rows for cell in row) and rows != [(0,)]

    def rows(self, query: Query) -> list[tuple[object, ...]]:
        return self.connection.execute(self.sql(query)).fetchall()

    def _random_query(self) -> Query | None:
        table = self.random.choice(self.spec.tables)
        kinds = (self._count, self._count, self._aggregate, self._aggregate, self._shown, self._grouped, self._top)
        rarer = (self._above_average, self._without, self._distinct)
        return self.random.choice(kinds + rarer if self.random.random() < 0.5 else kinds)(table)

    def _count(self, table: TableSpec) -> Query:
        links = self._links(table)
        return Query(table, Measure("count"), links=links, filters=self._filters(table, links, least=1))

    def _aggregate(self, table: TableSpec) -> Query | None:
        numbers = table.of_role(*_NUMERIC)
        if not numbers:
            return None
        links = self._links(table)
        measure = Measure(self.random.choice(_AGGREGATES), Ref(table, self.random.choice(numbers)))
        return Query(table, measure, links=links, filters=self._filters(table, links))

    def _shown(self, table: TableSpec) -> Query:
        columns = [column for column in table.columns if column.role not in (None, "flag")]
        shown = tuple(Ref(table, column) for column in self.random.sample(columns, min(len(columns), self._few())))
        links = self._links(table)
        return Query(table, shown=shown, links=links, filters=self._filters(table, links, least=1))

    def _grouped(self, table: TableSpec) -> Query | None:
        links = self._links(table)
        group = self._group(table, links)
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
            return Query(
                table, grouped.measure, links=grouped.links, group=grouped.group, top=top, descending=descending
            )
        labels, ordered = table.of_role("label", "code"), table.of_role(*_NUMERIC, "date")
        if not labels or not ordered:
            return None
        shown = (Ref(table, self.random.choice(labels)),)
        return Query(table, shown=shown, order=Ref(table, self.random.choice(ordered)), top=top, descending=descending)

    def _above_average(self, table: TableSpec) -> Query | None:
        labels, numbers = table.of_role("label"), table.of_role(*_NUMERIC)
        if not labels or not numbers:
            return None
        return Query(table, shown=(Ref(table, labels[0]),), above_average=Ref(table, self.random.choice(numbers)))

    def _without(self, table: TableSpec) -> Query | None:
        children = [link for link in self.spec.links if link.parent == table.name]
        labels = table.of_role("label")
        if not children or not labels:
            return None
        return Query(table, shown=(Ref(table, labels[0]),), without=self.random.choice(children))

    def _distinct(self, table: TableSpec) -> Query | None:
        columns = table.of_role("category")
        if not columns:
            return None
        ref = Ref(table, self.random.choice(columns))
        if self.random.random() < 0.5:
            return Query(table, Measure("count distinct", ref))
        return Query(table, shown=(ref,), distinct=True)

    def measure(self, table: TableSpec) -> Measure:
        numbers = table.of_role(*_NUMERIC)
        if not numbers or self.random.random() < 0.5:
            return Measure("count")
        return Measure(self.random.choice(_AGGREGATES), Ref(table, self.random.choice(numbers)))

    def _group(self, table: TableSpec, links: tuple[Link, ...]) -> Ref | None:
        tables = [self.spec.table(link.parent) for link in links] or [table]
        refs = [Ref(each, column) for each in tables for column in each.of_role("category", "label", "flag")]
        if not links:
            refs = [ref for ref in refs if ref.column.role != "label"]
        return self.random.choice(refs) if refs else None

    def _links(self, table: TableSpec) -> tuple[Link, ...]:
        """Two times of five a join with a parent, now and then one further up."""
        chosen: list[Link] = []
        child = table.name
        while self.random.random() < (0.4 if not chosen else 0.25):
            up = [link for link in self.spec.links if link.child == child]
            if not up:
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
                if operator == "between":
                    return Filter(ref, operator, (number, number + self.random.choice((5, 10, 50, 100))))
                return Filter(ref, operator, (number,))
            case "date":
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
