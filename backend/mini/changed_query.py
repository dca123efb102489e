"""A query changed in one respect, as a convention, a unit or a column's replacement changes what is asked for."""

from __future__ import annotations

from dataclasses import replace

from backend.mini.query import Filter, Measure, Query, Ref


def under(query: Query, *conventions: Filter | None) -> Query:
    """The query over the rows that meet the conventions as well."""
    added = tuple(convention for convention in conventions if convention is not None)
    return replace(query, filters=(*query.filters, *added))


def in_unit(query: Query, ref: Ref, divisor: int) -> Query:
    """The query with every measure of the column divided."""

    def divided(measure: Measure | None) -> Measure | None:
        fits = measure is not None and measure.ref == ref and measure.aggregate in ("sum", "avg", "min", "max")
        return replace(measure, divisor=divisor) if measure is not None and fits else measure

    return replace(query, measure=divided(query.measure), second=divided(query.second))


def with_column(query: Query, old: Ref, new: Ref) -> Query:
    """The query with one column in another's place."""

    def swapped(ref: Ref | None) -> Ref | None:
        return new if ref == old else ref

    def entry_of(entry: Filter) -> Filter:
        return replace(entry, ref=new) if entry.ref == old else entry

    def measure_of(measure: Measure | None) -> Measure | None:
        if measure is None:
            return None
        condition = entry_of(measure.condition) if measure.condition else None
        return replace(measure, ref=swapped(measure.ref), condition=condition)

    return replace(
        query,
        measure=measure_of(query.measure),
        second=measure_of(query.second),
        shown=tuple(new if ref == old else ref for ref in query.shown),
        filters=tuple(entry_of(entry) for entry in query.filters),
        group=swapped(query.group),
        order=swapped(query.order),
        above_average=swapped(query.above_average),
    )
