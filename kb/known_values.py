"""The values that schema items know: by how they are spoken, which columns have them and how they are written there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from kb.introspect import ROWS_READ, SOURCE
from kb.items import Column, Item, Schema
from kb.words import spoken

Values = Mapping[str, Collection[tuple[str, str]]]
"""A value as it is spoken → each `table.column` that has it, with the value as it is written there."""

WholeColumns = Mapping[str, Collection[str]]
"""A `table.column` → all values that it has and that are called by something, as they are written there."""

_TEXTS = ("CHAR", "TEXT", "CLOB", "STRING")
"""Of a type that has one of these in its name a value is written in one way: a date or a flag may be in several."""


def known_values(items: Iterable[Item]) -> Values:
    found: dict[str, set[tuple[str, str]]] = {}
    for item in items:
        if isinstance(item.body, Schema):
            for column in item.body.columns:
                for value in (*column.samples, *column.values):
                    found.setdefault(spoken(value), set()).add((f"{item.body.table}.{column.name}", value))
    return found


def whole_columns(items: Iterable[Item]) -> WholeColumns:
    """Columns of text of which introspection read every row and stored every value but those that nobody calls
    anything by (`is_name`). A table that two databases have is left out: which of them is read, is not known.
    """
    found: dict[str, frozenset[str]] = {}
    seen: set[str] = set()
    several: set[str] = set()
    for item in items:
        if item.status != "active" or not isinstance(item.body, Schema):
            continue
        table = item.body.table
        (several if table in seen else seen).add(table)
        rows = item.body.row_count
        introspected = item.provenance is not None and item.provenance.source == SOURCE
        if introspected and rows is not None and rows <= ROWS_READ:
            for column in filter(_is_whole, item.body.columns):
                found[f"{table}.{column.name}"] = frozenset((*column.samples, *column.values))
    return {column: values for column, values in found.items() if column.rpartition(".")[0] not in several}


def _is_whole(column: Column) -> bool:
    is_text = any(text in column.type.upper() for text in _TEXTS)
    return is_text and bool(column.values or column.samples)
