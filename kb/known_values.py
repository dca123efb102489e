"""The values that schema items know: by how they are spoken, which columns have them and how they are written there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from kb.items import Item, Schema
from kb.words import spoken

Values = Mapping[str, Collection[tuple[str, str]]]
"""A value as it is spoken → each `table.column` that has it, with the value as it is written there."""


def known_values(items: Iterable[Item]) -> Values:
    found: dict[str, set[tuple[str, str]]] = {}
    for item in items:
        if isinstance(item.body, Schema):
            for column in item.body.columns:
                for value in (*column.samples, *column.values):
                    found.setdefault(spoken(value), set()).add((f"{item.body.table}.{column.name}", value))
    return found
