"""CSV as RFC 4180 writes it: a header, quotes doubled inside quotes. The delimiter is found by the header."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from kb.importers.errors import SourceInvalid
from kb.importers.place import Place
from kb.importers.source import read_text

DELIMITERS = ",;\t|"


@dataclass(frozen=True, slots=True)
class Row:
    """`line` is the first line of the row: a quoted field may span several."""

    file: str
    line: int
    values: dict[str, str]

    def required(self, column: str) -> str:
        if not self.values[column]:
            raise self.place(column).wrong("is empty; give it a text")
        return self.values[column]

    def place(self, column: str | None = None) -> Place:
        return Place(self.file, self.line, column)


def read_csv(path: Path, wanted: Collection[str]) -> list[Row]:
    """The rows of a file whose header has `wanted`, by lower-case column; empty lines are left out.

    Raises `SourceInvalid` with the line for a header without them, a row of another width, and open quotes.
    """
    text = read_text(path)
    delimiter = _delimiter(text, wanted)
    rows = _rows(path, text, delimiter)
    first = next(rows, None)
    header = [name.strip().lower() for name in first.values] if first else []
    missing = [name for name in wanted if name not in header]
    if first is None or missing:
        found = f"the header has {', '.join(header)}" if header else "the file is empty"
        raise SourceInvalid(str(path), f"a column '{missing[0]}' is expected; {found}", line=1)
    return [_named(row, header) for row in rows]


@dataclass(frozen=True, slots=True)
class _Cells:
    file: str
    line: int
    values: list[str]


def _named(row: _Cells, header: list[str]) -> Row:
    if len(row.values) != len(header):
        problem = f"has {len(row.values)} fields, the header has {len(header)}; put a field with delimiters in quotes"
        raise SourceInvalid(row.file, problem, line=row.line)
    return Row(row.file, row.line, {name: value.strip() for name, value in zip(header, row.values, strict=True)})


def _rows(path: Path, text: str, delimiter: str) -> Iterator[_Cells]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as exc:
            raise SourceInvalid(str(path), f"is not CSV: {exc}; double a quote inside quotes", line=line) from exc
        if any(value.strip() for value in values):
            yield _Cells(str(path), line, values)


def _delimiter(text: str, wanted: Collection[str]) -> str:
    """The one by which the first line has most of the wanted columns."""
    head = next((line for line in text.splitlines() if line.strip()), "")

    def columns(delimiter: str) -> int:
        names = {name.strip().strip('"').strip().lower() for name in head.split(delimiter)}
        return sum(name in names for name in wanted)

    return max(DELIMITERS, key=columns)
