"""Values that a statement compares a column with and the column does not have: `state = 'canceled'` for `cancelled`.

Such a statement runs and gives nothing. Only a column whose values are completely known is judged, and only a text that
is compared with the column itself: what a pattern, a function or another collation makes of it is not told. A value
that another column has is written right, unless this column has one that is nearly the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import sqlglot
from rapidfuzz import fuzz, process
from sqlglot import exp
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import traverse_scope

from kb.entities import is_name
from kb.known_values import Values, WholeColumns
from kb.sql_failures import SQL_FAILURES
from kb.words import spoken

_LIKE_ENOUGH = 75.0


def unknown_values(
    sql: str, *, dialect: str, tables: Mapping[str, Collection[str]], values: Values, whole: WholeColumns
) -> tuple[str, ...]:
    """As `orders.state with 'canceled' (did you mean 'cancelled'?)`, in the statement's order.

    `tables` maps each known table to its columns; `values` are all that are known, `whole` comes from `whole_columns`.
    Empty where the statement cannot be resolved against the tables.
    """
    by_lower = {column.lower(): column for column in whole}
    found: dict[str, None] = {}
    for source, column, text in _compared(sql, dialect, tables):
        name = by_lower.get(f"{source}.{column}".lower())
        if name is None or not is_name(text) or text in whole[name]:
            continue
        near = process.extractOne(
            text, sorted(whole[name]), scorer=fuzz.ratio, processor=str.lower, score_cutoff=_LIKE_ENOUGH
        )
        if near is not None:
            found[f"{name} with '{text}' (did you mean '{near[0]}'?)"] = None
        elif all(written != text for _, written in values.get(spoken(text), ())):
            found[f"{name} with '{text}'"] = None
    return tuple(found)


def _compared(sql: str, dialect: str, tables: Mapping[str, Collection[str]]) -> Iterator[tuple[str, str, str]]:
    """Table, column and text of each comparison for equality."""
    schema: dict[str, object] = {table: dict.fromkeys(columns, "TEXT") for table, columns in tables.items()}
    try:
        tree = qualify(sqlglot.parse_one(sql, dialect=dialect), dialect=dialect, schema=schema)
        scopes = traverse_scope(tree)
    except SQL_FAILURES:
        return
    for scope in scopes:
        for node in scope.find_all(exp.EQ, exp.NEQ, exp.In):
            sides = [node.this, node.args.get("expression"), *node.expressions]
            columns = [side for side in sides if isinstance(side, exp.Column)]
            source = scope.sources.get(columns[0].table) if len(columns) == 1 else None
            if isinstance(source, exp.Table):
                texts = (side.name for side in sides if isinstance(side, exp.Literal) and side.is_string)
                yield from ((source.name, columns[0].name, text) for text in texts)
