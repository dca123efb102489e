"""The formats that can be imported, by the name that the command line takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from kb.importers.dash import import_dash
from kb.importers.dbt import import_dbt
from kb.importers.imported import Imported, Known
from kb.importers.question_csv import import_csv
from kb.importers.snowflake import import_snowflake
from kb.importers.statement import require_dialect
from kb.importers.vanna import import_vanna
from kb.importers.wren import import_wren
from kb.items import Schema
from kb.knowledge_base import Snapshot

FORMATS: Mapping[str, Callable[[Path, Known], Imported]] = {
    "csv": import_csv,
    "dash": import_dash,
    "dbt": import_dbt,
    "snowflake": import_snowflake,
    "vanna": import_vanna,
    "wren": import_wren,
}


def import_as(name: str, path: Path, snapshot: Snapshot | None, dialect: str = "") -> Imported:
    """The items of a file or folder in the format `name`, read against the tables of a snapshot.

    `dialect` is sqlglot's name for the SQL's; empty: what the file says. Raises `SourceInvalid`; changes nothing.
    """
    require_dialect(dialect)
    bodies = [item.body for item in snapshot.items.values()] if snapshot else []
    tables = {body.table: tuple(column.name for column in body.columns) for body in bodies if isinstance(body, Schema)}
    return FORMATS[name](path, Known(tables, dialect))
