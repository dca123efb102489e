"""Wrong answers as people give them: a statement that runs and means nearly the same, and gives other rows."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from backend.mini.changed_query import with_column
from backend.mini.database import DatabaseSpec
from backend.mini.query import Aggregate, Query, Ref
from backend.mini.skills import Skills

Kind = Literal["column", "aggregate", "value", "condition left out", "order", "another question"]

_AGGREGATES: tuple[Aggregate, ...] = ("sum", "avg", "min", "max")


@dataclass(frozen=True, slots=True)
class Mistake:
    """`sql` gives other rows than the statement that is right."""

    kind: Kind
    sql: str


@dataclass(frozen=True, slots=True)
class Mistakes:
    """Makes them on one filled database."""

    spec: DatabaseSpec
    connection: sqlite3.Connection

    def of(self, query: Query, others: Callable[[Random], Query], random: Random) -> Mistake:
        """One kind at random, of those that the query lends itself to; the answer to another question where none is.

        `others` draws other questions' queries until one gives other rows.
        """
        skills = Skills(self.spec, self.connection, random)
        ways: list[Callable[[Skills, Query], Iterator[tuple[Kind, Query]]]] = [
            _other_column,
            _unlike_column,
            _other_aggregate,
            _other_value,
            _left_out,
            _other_order,
        ]
        right = Counter(skills.maker.rows(query))
        for way in random.sample(ways, len(ways)):
            for kind, wrong in way(skills, query):
                if Counter(skills.maker.rows(wrong)) != right:
                    return Mistake(kind, skills.maker.sql(wrong))
        while True:
            other = others(random)
            if Counter(skills.maker.rows(other)) != right:
                return Mistake("another question", skills.maker.sql(other))


def _other_column(skills: Skills, query: Query) -> Iterator[tuple[Kind, Query]]:
    swap = skills.swap(query)
    if swap is not None:
        yield "column", with_column(query, *swap)


def _unlike_column(skills: Skills, query: Query) -> Iterator[tuple[Kind, Query]]:
    """Any other column of the table but keys to show, count or group by."""
    measure = query.measure
    counted = [measure.ref] if measure is not None and measure.aggregate == "count distinct" else []
    for ref in (*query.shown, *counted, query.group):
        if ref is None:
            continue
        columns = [column for column in ref.table.columns if column.role is not None and column != ref.column]
        if columns:
            yield "column", with_column(query, ref, Ref(ref.table, skills.random.choice(columns)))


def _other_aggregate(skills: Skills, query: Query) -> Iterator[tuple[Kind, Query]]:
    measure = query.measure
    if measure is not None and measure.aggregate == "count distinct":
        yield "aggregate", replace(query, measure=replace(measure, aggregate="count"))
    if measure is not None and measure.aggregate in _AGGREGATES:
        others = [aggregate for aggregate in _AGGREGATES if aggregate != measure.aggregate]
        for aggregate in skills.random.sample(others, len(others)):
            yield "aggregate", replace(query, measure=replace(measure, aggregate=aggregate))


def _other_value(skills: Skills, query: Query) -> Iterator[tuple[Kind, Query]]:
    for number in skills.random.sample(range(len(query.filters)), len(query.filters)):
        changed = (*query.filters[:number], skills.other_value(query.filters[number]), *query.filters[number + 1 :])
        yield "value", replace(query, filters=changed)


def _left_out(skills: Skills, query: Query) -> Iterator[tuple[Kind, Query]]:
    for number in skills.random.sample(range(len(query.filters)), len(query.filters)):
        yield "condition left out", replace(query, filters=(*query.filters[:number], *query.filters[number + 1 :]))


def _other_order(_skills: Skills, query: Query) -> Iterator[tuple[Kind, Query]]:
    if query.top is not None:
        yield "order", replace(query, descending=not query.descending)
