"""The formats by name, and which one a file is in where that is plain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from evals.importing.bird import read_bird
from evals.importing.found import Imported
from evals.importing.json_records import json_records
from evals.importing.nao import read_nao
from evals.importing.promptfoo import read_promptfoo
from evals.importing.question_csv import read_question_csv
from evals.importing.snowflake import read_snowflake
from evals.importing.spider import read_spider
from kb.importers.errors import SourceInvalid
from kb.importers.record import Record
from kb.importers.yaml_file import read_yaml_items

READERS: Mapping[str, Callable[[Path], Imported]] = {
    "promptfoo": read_promptfoo,
    "nao": read_nao,
    "snowflake": read_snowflake,
    "csv": read_question_csv,
}
BENCHMARKS: Mapping[str, Callable[[Path, str | None], Imported]] = {"spider": read_spider, "bird": read_bird}
"""Formats whose files hold questions about many databases."""

_TELLING = {
    "promptfoo": ("tests",),
    "snowflake": ("verified_queries",),
    "nao": ("prompt", "sql"),
    "bird": ("question", "SQL"),
    "spider": ("question", "query"),
}
"""Fields that only one of the formats has."""


def import_cases(format_: str, path: Path, database: str | None = None) -> Imported:
    """`database` chooses among those of a benchmark's file. Raises `SourceInvalid`; changes nothing."""
    if format_ in BENCHMARKS:
        return BENCHMARKS[format_](path, database)
    return READERS[format_](path)


def detect(path: Path) -> str | None:
    """The one format whose fields the file has, or that its ending names; else `None`. Raises `SourceInvalid`."""
    if path.is_dir():
        return "nao"
    match path.suffix.lower():
        case ".csv" | ".tsv":
            return "csv"
        case ".jsonl":
            return _by_fields(json_records(path)[:1])
        case ".json":
            return _of_json(path)
        case ".yml" | ".yaml":
            return _by_fields([read_yaml_items(path)])
    return None


def _of_json(path: Path) -> str | None:
    try:
        return _by_fields(json_records(path)[:1])
    except SourceInvalid:
        # One object over several lines is no list of questions, but may be a configuration.
        return _by_fields([read_yaml_items(path)])


def _by_fields(records: Sequence[Record]) -> str | None:
    fits = [name for name, fields in _TELLING.items() if records and all(f in records[0].values for f in fields)]
    return fits[0] if len(fits) == 1 else None
