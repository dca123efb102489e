"""Tests of nao: a YAML file each, with `name`, `prompt` and `sql`, in a folder `tests`."""

from __future__ import annotations

from pathlib import Path

from evals.case import SqlResult
from evals.importing.found import Found, Imported
from kb.importers.record import Record
from kb.importers.source import files_below
from kb.importers.yaml_file import read_yaml

_READ = ("name", "prompt", "sql", "tags")


def read_nao(path: Path) -> Imported:
    """`path` is one test, the folder `tests`, or the project's folder. Raises `SourceInvalid`."""
    found = Found(str(path))
    for file in _files(path):
        _test(found, read_yaml(file))
    return found.done("tests of YAML with name, prompt and sql, in the folder tests")


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    folder = "tests" if (path / "tests").is_dir() else "."
    return sorted(file for suffix in (".yml", ".yaml") for file in files_below(path, folder, suffix))


def _test(found: Found, record: Record) -> None:
    name, question = record.text("name"), record.required("prompt")
    if not record.text("sql"):
        found.leave_out(record.place(), name or question, "it has no sql to compare with")
        return
    for other in (each for each in record.values if each not in _READ):
        found.leave_out(record.place(other), name or question, "a case has no such field", what=other)
    found.case(record.place(), name, question, (SqlResult((record.required("sql"),)),), record.texts("tags"))
