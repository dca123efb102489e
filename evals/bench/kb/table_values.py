"""Tables with the values that `kvasir kb introspect --sample` would have stored, from Spider's SQLite files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from evals.bench.mini.knowledge import introspected
from kb.items import Item, Schema


def with_values(folder: Path, tables: Iterable[Item]) -> list[Item]:
    """The same items, with samples of every text column; those whose database has no file stay as they are."""
    found: list[Item] = []
    samples: dict[str, dict[tuple[str, str], tuple[str, ...]]] = {}
    for item in tables:
        assert isinstance(item.body, Schema), "only tables have columns"
        database = item.body.database
        if database not in samples:
            file = folder / "spider" / "database" / f"{database}.sqlite"
            samples[database] = _samples(file) if file.is_file() else {}
        known, table = samples[database], item.body.table.lower()
        columns = tuple(replace(c, samples=known.get((table, c.name.lower()), ())) for c in item.body.columns)
        found.append(replace(item, body=replace(item.body, columns=columns)))
    return found


def _samples(file: Path) -> dict[tuple[str, str], tuple[str, ...]]:
    """Table and column, in lower case → values."""
    return {
        (item.body.table.lower(), column.name.lower()): column.samples
        for item in introspected(file)
        if isinstance(item.body, Schema)
        for column in item.body.columns
    }
