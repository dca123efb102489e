"""Items as the product would have made them: introspected from a database, and confirmed by people."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from evals.bench.errors import DataUnavailable
from gateway.verification import sql_of
from kb.codec import canonical_json
from kb.errors import IntrospectionFailed
from kb.introspect import introspect
from kb.items import Item, Schema, Success
from kb.sql_columns import columns_read

_TEXT_TYPES = ("CHAR", "TEXT", "CLOB", "STRING")


def introspected(file: Path) -> list[Item]:
    """What `kvasir kb introspect` makes of a SQLite file whose text columns are all allowed by `--sample`."""
    url = f"sqlite:///{file.resolve()}"
    try:
        found = introspect(url)
        text_columns = [
            glob.escape(f"{item.body.table}.{column.name}")
            for item in found
            if isinstance(item.body, Schema)
            for column in item.body.columns
            if any(name in column.type.upper() for name in _TEXT_TYPES)
        ]
        return introspect(url, sample=text_columns)
    except IntrospectionFailed as exc:
        raise DataUnavailable(file, str(exc)) from exc


def successes(answers: Iterable[tuple[str, str]], schemas: Sequence[Item], at_most: int | None = None) -> list[Item]:
    """One item a different (question, SQL) pair, with the columns of `schemas` that it reads, as capture makes it."""
    tables = tables_of(schemas)
    items: dict[str, Item] = {}
    for question, answer in answers:
        if len(items) == at_most:
            break
        sql = sql_of(answer)
        name = f"success:{hashlib.sha256(canonical_json((question, sql))).hexdigest()[:12]}"
        if name not in items:
            reads = tuple(sorted(columns_read(sql, "sqlite", tables))) if tables else ()
            items[name] = Item(name, " ".join(question.split())[:120], Success(question, sql), depends_on=reads)
    return list(items.values())


def tables_of(items: Iterable[Item]) -> Mapping[str, tuple[str, ...]]:
    bodies = [item.body for item in items if isinstance(item.body, Schema)]
    return {body.table: tuple(column.name for column in body.columns) for body in bodies}
