"""A JSON list of objects, or one object a line (JSONL), each with the line that it starts on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kb.importers.errors import SourceInvalid
from kb.importers.record import Record
from kb.importers.source import read_text

_BETWEEN = re.compile(r"[\s,]*")


def json_records(path: Path) -> list[Record]:
    """Raises `SourceInvalid` with the line for what is not JSON, and for an entry that is no object."""
    text = read_text(path)
    try:
        found = list(_listed(path, text) if text.lstrip().startswith("[") else _lines(path, text))
    except RecursionError as exc:
        raise SourceInvalid(str(path), "is nested deeper than any such file; check it") from exc
    records = []
    for index, (line, value) in enumerate(found):
        where = f"$[{index}]"
        if not isinstance(value, dict):
            raise SourceInvalid(str(path), "an object with fields is expected", line=line, field=where)
        records.append(Record(str(path), where, value, {where: line}))
    return records


def _listed(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    _loads(path, text, 1)
    decoder = json.JSONDecoder()
    at, line, counted = text.index("[") + 1, 1, 0
    while text[at := _end(text, at)] != "]":
        line, counted = line + text.count("\n", counted, at), at
        value, at = decoder.raw_decode(text, at)
        yield line, value


def _lines(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    # Not by `splitlines`: JSON's texts may hold other line ends than \n.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, _loads(path, line, number)


def _loads(path: Path, text: str, first_line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as exc:
        problem = f"is not JSON: {exc.msg}; a list of objects, or one object a line, is expected"
        raise SourceInvalid(str(path), problem, line=first_line + exc.lineno - 1) from exc


def _end(text: str, at: int) -> int:
    match = _BETWEEN.match(text, at)
    assert match is not None, "the pattern may be empty"
    return match.end()
