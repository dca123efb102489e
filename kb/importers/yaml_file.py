"""YAML as text, lists and mappings, each with its line; no tags, no anchors.

It is built from the parser's events: composing nodes is recursive C code, which a deeply nested file overruns, and
anchors let a short file become a huge one. Every scalar stays the text that was written (`no`, `007`). YAML 1.1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kb.importers.errors import SourceInvalid
from kb.importers.record import Record
from kb.importers.source import read_text
from kb.yaml_marks import MAX_DEPTH, wrong_line

_LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULLS = ("", "~", "null", "Null", "NULL")


def read_yaml(path: Path) -> Record:
    """A YAML file that holds one mapping."""
    return parse_yaml(str(path), read_text(path))


def read_yaml_items(path: Path) -> Record:
    """A YAML file that holds one mapping. A list is read as the field `items` of it, as `read_json` does."""
    builder = _built(str(path), read_text(path), 1)
    if not isinstance(builder.result, list):
        return _record(builder)
    lines = {f"$.items{where.removeprefix('$')}": line for where, line in builder.lines.items()}
    return Record(str(path), "$", {"items": builder.result}, lines)


def parse_yaml(file: str, text: str, first_line: int = 1) -> Record:
    """`text`, which starts at `first_line` of `file`, as a record. Raises `SourceInvalid` with the line."""
    return _record(_built(file, text, first_line))


def _record(builder: _Builder) -> Record:
    if not isinstance(builder.result, dict):
        raise SourceInvalid(builder.file, "'field: value' lines are expected", line=builder.first_line)
    return Record(builder.file, "$", builder.result, builder.lines)


def _built(file: str, text: str, first_line: int) -> _Builder:
    builder = _Builder(file, first_line)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except yaml.MarkedYAMLError as exc:
        at = wrong_line(exc, text)
        line = None if at is None else first_line + at
        raise SourceInvalid(file, f"is not YAML: {exc.problem or exc.context}", line=line) from exc
    except yaml.YAMLError as exc:
        raise SourceInvalid(file, "holds a character that YAML does not allow") from exc
    return builder


@dataclass(slots=True)
class _Open:
    """A list or mapping that has begun; `key` is that of a mapping's next value."""

    value: Any
    path: str
    key: str | None = None


@dataclass(slots=True)
class _Builder:
    file: str
    first_line: int
    lines: dict[str, int] = field(default_factory=dict)
    result: Any = None
    documents: int = 0
    open: list[_Open] = field(default_factory=list)

    def take(self, event: yaml.Event) -> None:
        line = self.first_line + (event.start_mark.line if event.start_mark else 0)
        match event:
            case yaml.DocumentStartEvent():
                self.documents += 1
                if self.documents > 1:
                    raise SourceInvalid(self.file, "holds a second document; one is expected", line=line)
            case yaml.AliasEvent():
                raise SourceInvalid(self.file, f"'*{event.anchor}' is an alias; write the value out", line=line)
            case yaml.ScalarEvent():
                self._tagless(event.tag, line)
                self._scalar(event, line)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._tagless(event.tag, line)
                self._begin({} if isinstance(event, yaml.MappingStartEvent) else [], line)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self.open.pop()

    def _tagless(self, tag: str | None, line: int) -> None:
        if tag not in (None, "!", "tag:yaml.org,2002:str"):
            raise SourceInvalid(self.file, f"the YAML tag '{tag}' is not read; leave it out", line=line)

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        inner = self.open[-1] if self.open else None
        if inner is not None and isinstance(inner.value, dict) and inner.key is None:
            path = f"{inner.path}.{event.value}"
            if event.value in inner.value:
                raise SourceInvalid(
                    self.file, f"stands here twice; first on line {self.lines[path]}", line=line, field=path
                )
            self.lines[path] = line
            inner.key = event.value
            return
        plain = event.implicit[0] and event.style is None
        self._put(None if plain and event.value in _NULLS else event.value, line)

    def _begin(self, value: Any, line: int) -> None:
        if self.open and isinstance(self.open[-1].value, dict) and self.open[-1].key is None:
            raise SourceInvalid(self.file, "a field's name is expected, not a list or fields", line=line)
        if len(self.open) >= MAX_DEPTH:
            raise SourceInvalid(
                self.file, f"is nested deeper than {MAX_DEPTH} levels; no such file is expected", line=line
            )
        self.open.append(_Open(value, self._put(value, line)))

    def _put(self, value: Any, line: int) -> str:
        """Hang a value where it belongs; gives its path."""
        if not self.open:
            self.result = value
            self.lines["$"] = line
            return "$"
        inner = self.open[-1]
        if isinstance(inner.value, list):
            path = f"{inner.path}[{len(inner.value)}]"
            inner.value.append(value)
            self.lines[path] = line
            return path
        assert inner.key is not None, "a scalar key came before every value"
        path = f"{inner.path}.{inner.key}"
        inner.value[inner.key] = value
        inner.key = None
        return path
