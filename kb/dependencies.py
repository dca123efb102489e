"""What of a database's schema an item depends on: parsed out of its SQL; what a person typed counts where there is
none, or none that can be read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from kb.fence import split_fence
from kb.items import Gotcha, Item, Metric, Relationship, Schema, Success, Template
from kb.sql_reads import NOTHING, Reads, expression_reads, query_reads

Tables = Mapping[str, Collection[str]]
"""Table → its columns."""

_COLUMN = re.compile(r"\s*[^\s.]+\.[^\s.()]+\s*")


def dependencies(item: Item, tables: Tables) -> Reads:
    """What the item reads. `tables` are those it was written against. A table's own item reads nothing."""
    typed = _typed(item.depends_on)
    match item.body:
        case Schema():
            return NOTHING
        case Relationship() as join:
            sides = ((join.left_table, join.left_columns), (join.right_table, join.right_columns))
            return _typed(f"{table}.{column}" for table, columns in sides for column in columns)
        case Gotcha(wrong=wrong, right=right):
            # Its rule is a sentence, so what a person says that it is about counts beside its two halves.
            for half in (wrong, right):
                typed |= _half(half, tables)
            return typed
    parsed = sql_reads(item, tables)
    return typed if parsed is None else parsed


def sql_reads(item: Item, tables: Tables) -> Reads | None:
    """What the SQL of a metric, template or success reads; `None` for an item without SQL that can be read."""
    match item.body:
        case Template(sql=sql):
            return query_reads(sql, tables)
        case Success(answer=answer):
            return query_reads(split_fence(answer)[1] or answer, tables)
        case Metric(expression=expression) if expression.strip():
            # A whole query is no expression, and an expression is no query.
            return query_reads(expression, tables) or expression_reads(expression, tables, _about(item, tables))
    return None


def misstated(item: Item, tables: Tables) -> tuple[str, ...] | None:
    """The columns that an item's SQL reads, where its `depends_on` says otherwise; `None` where it does not, or where
    not all of them can be told.
    """
    reads = sql_reads(item, tables)
    spelled = {f"{table}.{column}".lower(): f"{table}.{column}" for table, names in tables.items() for column in names}
    if reads is None or reads.loose or not reads.columns <= spelled.keys():
        return None
    said = {name.lower() for name in item.depends_on}
    return None if said == reads.columns else tuple(sorted(spelled[name] for name in reads.columns))


def doubts(items: Iterable[Item], tables: Tables) -> list[str]:
    """What a person who wrote items should know: a `depends_on` that their SQL contradicts, columns that are not
    there.
    """
    known = {table.lower(): {name.lower() for name in names} for table, names in tables.items()}
    told: list[str] = []
    for item in items:
        said = ", ".join(item.depends_on)
        found = misstated(item, tables) if said else None
        if found is not None:
            told.append(
                f"{item.id}: depends_on says {said}, its SQL reads {', '.join(found) or 'no column'}; that counts"
            )
        if item.status in ("active", "proposed"):
            pairs = [name.rpartition(".")[::2] for name in sorted(dependencies(item, tables).columns)]
            missing = [f"{table}.{column}" for table, column in pairs if column not in known.get(table, {column})]
            if missing:
                told.append(f"{item.id}: it reads {', '.join(missing)}, which no table of the base has")
    return told


def tables_of(items: Iterable[Item]) -> dict[str, tuple[str, ...]]:
    """Columns by table, of the schema items among `items`; those of all databases where several have the table."""
    tables: dict[str, tuple[str, ...]] = {}
    for item in items:
        if isinstance(item.body, Schema):
            names = (column.name for column in item.body.columns)
            tables[item.body.table] = tuple(dict.fromkeys((*tables.get(item.body.table, ()), *names)))
    return tables


def _typed(names: Iterable[str]) -> Reads:
    columns = frozenset(name.lower() for name in names)
    return Reads(columns, frozenset(name.rpartition(".")[0] or name for name in columns))


def _half(text: str, tables: Tables) -> Reads:
    if not text.strip():
        return NOTHING
    if _COLUMN.fullmatch(text):
        return _typed([text.strip()])
    return query_reads(text, tables) or expression_reads(text, tables) or NOTHING


def _about(item: Item, tables: Tables) -> set[str]:
    """The tables that a metric says it is about."""
    named = {name.rpartition(".")[0].lower() for name in item.depends_on}
    referred = {ref.partition(":")[2].lower() for ref in item.refs if ref.startswith("schema:")}
    return {table for table in tables if table.lower() in named | referred}
