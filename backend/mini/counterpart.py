"""The same template on other tables: what a confirmed answer about orders says about customers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from backend.mini.database import Link, TableSpec
from backend.mini.query import Filter, Measure, Query, Ref
from backend.mini.query_maker import QueryMaker
from backend.mini.vocabulary import Role


def counterpart(maker: QueryMaker, query: Query) -> Query | None:
    """A query of `query`'s template whose first table is another one; `None` where no table has what it takes."""
    tables = [table for table in maker.spec.tables if table != query.table]
    for table in maker.random.sample(tables, len(tables)):
        try:
            made = _Move(maker, query, table).query()
        except _NoCounterpart:
            continue
        if maker.answers(made):
            return made
    return None


class _NoCounterpart(Exception):
    """The table lacks a column or a link that the query needs."""


@dataclass
class _Move:
    """Carries one query over to one table. A column goes to one of the same role, each to its own."""

    maker: QueryMaker
    source: Query
    table: TableSpec

    def __post_init__(self) -> None:
        self._columns: dict[Ref, Ref] = {}
        self._tables: dict[str, TableSpec] = {self.source.table.name: self.table}

    def query(self) -> Query:
        source = self.source
        links = tuple(self._link(link) for link in source.links)
        return replace(
            source,
            table=self.table,
            links=links,
            measure=self._measure(source.measure),
            second=self._measure(source.second),
            shown=tuple(self._moved(ref) for ref in source.shown),
            filters=tuple(self._filter(entry) for entry in source.filters),
            group=self._optional(source.group),
            order=self._optional(source.order),
            above_average=self._optional(source.above_average),
            without=self._child(source.without),
        )

    def _link(self, link: Link) -> Link:
        child = self._tables[link.child]
        up = [other for other in self.maker.spec.links if other.child == child.name]
        if not up:
            raise _NoCounterpart
        chosen = self.maker.random.choice(up)
        self._tables[link.parent] = self.maker.spec.table(chosen.parent)
        return chosen

    def _child(self, link: Link | None) -> Link | None:
        if link is None:
            return None
        down = [other for other in self.maker.spec.links if other.parent == self.table.name]
        if not down:
            raise _NoCounterpart
        return self.maker.random.choice(down)

    def _moved(self, ref: Ref) -> Ref:
        if ref not in self._columns:
            table = self._tables[ref.table.name]
            taken = {moved.column for moved in self._columns.values() if moved.table == table}
            columns = [column for column in table.of_role(*_roles(ref)) if column not in taken]
            if not columns:
                raise _NoCounterpart
            self._columns[ref] = Ref(table, self.maker.random.choice(columns))
        return self._columns[ref]

    def _optional(self, ref: Ref | None) -> Ref | None:
        return None if ref is None else self._moved(ref)

    def _filter(self, entry: Filter) -> Filter:
        made = self.maker.condition_like(entry, self._moved(entry.ref))
        if made is None:
            raise _NoCounterpart
        return made

    def _measure(self, measure: Measure | None) -> Measure | None:
        if measure is None:
            return None
        condition = self._filter(measure.condition) if measure.condition else None
        return replace(measure, ref=self._optional(measure.ref), condition=condition)


def _roles(ref: Ref) -> tuple[Role, ...]:
    role = ref.column.role
    if role is None:
        raise _NoCounterpart
    return ("amount", "count", "ratio") if role in ("amount", "count", "ratio") else (role,)
