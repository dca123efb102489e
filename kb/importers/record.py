"""A mapping out of a file, read field by field: each read checks the type and knows the place."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kb.importers.errors import SourceInvalid
from kb.importers.place import Place
from kb.importers.source import read_text

_NO_TEXT = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Record:
    """`path` is where it stands in `file`, `$` for all of it; `lines` are those of paths, where they are known."""

    file: str
    path: str
    values: Mapping[str, Any]
    lines: Mapping[str, int] = field(default_factory=dict)

    def place(self, name: str = "") -> Place:
        """Of a field, or of the record."""
        path = f"{self.path}.{name}" if name else self.path
        return Place(self.file, self.lines.get(path) or self.lines.get(self.path), path)

    def wrong(self, problem: str, name: str = "") -> SourceInvalid:
        return self.place(name).wrong(problem)

    def text(self, name: str) -> str:
        """The text of a field, without space around it; empty where the field is absent or null."""
        value = self.values.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.wrong(f"is {_kind(value)}; text is expected", name)
        return self._clean(value, name).strip()

    def required(self, name: str) -> str:
        found = self.text(name)
        if not found:
            raise self.wrong("is missing or empty; give it a text", name)
        return found

    def flag(self, name: str) -> bool:
        """A boolean, also in YAML's spelling; false where the field is absent."""
        value = self.values.get(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        raise self.wrong(f"is {_kind(value)}; true or false is expected", name)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts; numbers and booleans among them become text. Empty ones are left out."""
        found = []
        for index, value in enumerate(self._list(name)):
            if isinstance(value, (list, dict)):
                raise self.wrong(f"is {_kind(value)}; text is expected", f"{name}[{index}]")
            if value is not None:
                text = value if isinstance(value, str) else json.dumps(value)
                found.append(self._clean(text, f"{name}[{index}]").strip())
        return tuple(text for text in found if text)

    def record(self, name: str) -> Record | None:
        """The mapping of a field; `None` where it is absent."""
        value = self.values.get(name)
        return None if value is None else self._record(value, name)

    def records(self, name: str) -> list[Record]:
        """A list of mappings."""
        return [self._record(value, f"{name}[{index}]") for index, value in enumerate(self._list(name))]

    def entries(self, name: str) -> list[tuple[str, Record]]:
        """A mapping of mappings, by key."""
        outer = self.record(name)
        if outer is None:
            return []
        return [(key, outer._record(value, key)) for key, value in sorted(outer.values.items())]

    def _list(self, name: str) -> list[Any]:
        value = self.values.get(name)
        if value is not None and not isinstance(value, list):
            raise self.wrong(f"is {_kind(value)}; a list is expected", name)
        return value or []

    def _record(self, value: object, name: str) -> Record:
        if not isinstance(value, dict):
            raise self.wrong(f"is {_kind(value)}; fields are expected", name)
        return Record(self.file, f"{self.path}.{name}", value, self.lines)

    def _clean(self, text: str, name: str) -> str:
        odd = _NO_TEXT.search(text)
        if odd:
            raise self.wrong(f"holds {odd[0]!r}, which cannot be stored; take it out", name)
        return text


def read_json(path: Path) -> Record:
    """A JSON file that holds one object. A list is read as the field `items` of it."""
    try:
        value = json.loads(read_text(path), parse_constant=_no_number)
    except json.JSONDecodeError as exc:
        raise SourceInvalid(str(path), f"is not JSON: {exc.msg}", line=exc.lineno) from exc
    except RecursionError as exc:
        raise SourceInvalid(str(path), "is nested deeper than any such file; check it") from exc
    except ValueError as exc:
        raise SourceInvalid(str(path), f"is not JSON: {exc}") from exc
    if isinstance(value, list):
        value = {"items": value}
    if not isinstance(value, dict):
        raise SourceInvalid(str(path), f"holds {_kind(value)}; an object with fields is expected")
    return Record(str(path), "$", value)


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number" if math.isfinite(value) else "no number"
        case str():
            return "text"
        case list():
            return "a list"
    return "a mapping"
