"""YAML front matter: the fields above the text of an item's file.

Reading follows the type of each field, not YAML's guesses: a column called `no` and a title of `2024-01-01` stay
text. Writing does not go through PyYAML's emitter, whose layout may change between releases: the same fields must
give the same bytes for ever. Source of the format: YAML 1.1, as PyYAML reads it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import yaml

from kb.errors import FolderInvalid
from kb.yaml_marks import MAX_DEPTH, wrong_line

_LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_YAML = "tag:yaml.org,2002:"
_GUESSED = {_YAML + tag for tag in ("str", "int", "float", "bool", "null", "timestamp", "value", "merge")}
_BOOLS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_QUOTES = "put text that holds ': ', quotes or other signs of YAML in double quotes, and indent with spaces"
_INT = re.compile(r"-?[0-9]+")

_PLAIN = re.compile(r"[^\W\d][\w .,:;()/+=*'\"!?&%@#<>|$~^-]*(?<![ :])")
_NOT_PLAIN = re.compile(r": | #|(?i:\A(?:null|true|false|yes|no|on|off|y|n)\Z)")
_UNPRINTABLE = r"\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff"
_BLOCK = re.compile(rf"[^\s{_UNPRINTABLE}](?:[^{_UNPRINTABLE}]*[^\s{_UNPRINTABLE}])?\n?")
_ESCAPED = re.compile(r"[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────


def stated(value: Any) -> dict[str, Any]:
    """The fields of a dataclass that differ from their default, in the order of its type."""
    kept: dict[str, Any] = {}
    for each in fields(value):
        found = getattr(value, each.name)
        if each.default is MISSING or found != each.default:
            kept[each.name] = found
    return kept


def dump(values: Mapping[str, Any], indent: int = 0) -> str:
    """`values` as YAML lines: text, numbers, booleans, dataclasses, and lists of text or dataclasses."""
    return "".join(" " * indent + f"{key}:{_dumped(value, indent)}" for key, value in values.items())


def _dumped(value: Any, indent: int) -> str:
    if isinstance(value, str):
        return _text(value, indent + 2)
    if isinstance(value, bool):
        return f" {str(value).lower()}\n"
    if isinstance(value, int):
        return f" {value}\n"
    if is_dataclass(value):
        return "\n" + dump(stated(value), indent + 2)
    if not value:
        return " []\n"
    return "\n" + "".join(_list_item(inner, indent) for inner in value)


def _list_item(value: Any, indent: int) -> str:
    if isinstance(value, str):
        return " " * indent + "-" + _text(value, indent + 2)
    mapping = dump(stated(value), indent + 2)
    return " " * indent + "- " + mapping[indent + 2 :]


def _text(text: str, indent: int) -> str:
    if _PLAIN.fullmatch(text) and not _NOT_PLAIN.search(text):
        return f" {text}\n"
    lines = text.split("\n")
    if len(lines) > 1 and _BLOCK.fullmatch(text) and not any(line.endswith(" ") for line in lines):
        head = "|" if text.endswith("\n") else "|-"
        body = "".join(" " * indent + line + "\n" if line else "\n" for line in text.removesuffix("\n").split("\n"))
        return f" {head}\n{body}"
    quoted = json.dumps(text, ensure_ascii=False)
    return f" {_ESCAPED.sub(_escape, quoted)}\n"


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class FrontMatter:
    """The fields as JSON-like values, and the line in the file (from 1) where each dotted path stands."""

    values: Mapping[str, Any]
    lines: Mapping[str, int]

    def line(self, path: str) -> int | None:
        """The line of a field, or of the nearest field around it."""
        while path and path not in self.lines:
            path = path.rpartition(".")[0]
        return self.lines.get(path)


def load(file: str, text: str, first_line: int, types: Mapping[str, Any]) -> FrontMatter:
    """Read `text`, which starts at `first_line` of `file`, as fields of `types` (field → annotation).

    Raises `FolderInvalid` for what is not YAML, unknown and repeated fields, and values of another type. Fields
    that are missing are left out.
    """
    try:
        _refuse_depth(file, text, first_line)
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.reader.ReaderError as exc:
        line = first_line + text.count("\n", 0, exc.position)
        raise FolderInvalid(file, line, None, "holds a character that YAML does not allow") from exc
    except yaml.MarkedYAMLError as exc:
        line = first_line + (wrong_line(exc, text) or 0)
        raise FolderInvalid(file, line, None, f"is not YAML: {exc.problem or exc.context}; {_QUOTES}") from exc
    if node is None:
        return FrontMatter({}, {})
    reader = _Reader(file, first_line)
    return FrontMatter(reader.mapping(node, types, ""), reader.lines)


def _refuse_depth(file: str, text: str, first_line: int) -> None:
    """Composing nodes is recursive C code, which a deeply nested file overruns."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            line = first_line + event.start_mark.line if event.start_mark else first_line
            raise FolderInvalid(file, line, None, f"is nested over {MAX_DEPTH} deep")


@dataclass(slots=True)
class _Reader:
    file: str
    first_line: int
    lines: dict[str, int] = field(default_factory=dict)

    def mapping(self, node: yaml.Node, types: Mapping[str, Any], path: str) -> dict[str, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise self._wrong(node, path, "'field: value' lines are expected")
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._scalar(key_node, path)
            inner = f"{path}.{key}" if path else key
            if key not in types:
                raise self._wrong(key_node, inner, f"no such field; allowed: {', '.join(types)}")
            if key in values:
                raise self._wrong(key_node, inner, f"stands here twice; first on line {self.lines[inner]}")
            self.lines[inner] = self._line(key_node)
            values[key] = self._value(value_node, types[key], inner)
        return values

    def _value(self, node: yaml.Node, hint: Any, path: str) -> Any:
        if get_origin(hint) is UnionType:
            if _is_null(node):
                return None
            hint = next(arg for arg in get_args(hint) if arg is not type(None))
        if get_origin(hint) is tuple:
            return self._list(node, get_args(hint)[0], path)
        if is_dataclass(hint):
            return self.mapping(node, field_types(hint), path)
        text = self._scalar(node, path)
        if hint is bool:
            if node.tag != _YAML + "bool":
                raise self._wrong(node, path, f"{text!r} is neither true nor false")
            return _BOOLS[text.lower()]
        if hint is int:
            if node.tag != _YAML + "int" or not _INT.fullmatch(text):
                raise self._wrong(node, path, f"{text!r} is no whole number")
            return int(text)
        return text

    def _list(self, node: yaml.Node, hint: Any, path: str) -> list[Any]:
        if _is_null(node):
            return []
        if not isinstance(node, yaml.SequenceNode):
            raise self._wrong(node, path, "a list is expected, one '- value' line for each")
        values = []
        for index, inner in enumerate(node.value):
            self.lines[f"{path}.{index}"] = self._line(inner)
            values.append(self._value(inner, hint, f"{path}.{index}"))
        return values

    def _scalar(self, node: yaml.Node, path: str) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self._wrong(node, path, "one value is expected, not a list or fields; put text in quotes")
        if node.tag not in _GUESSED:
            raise self._wrong(node, path, f"the YAML tag '{node.tag}' is not used here; leave it out")
        return str(node.value)

    def _line(self, node: yaml.Node) -> int:
        return self.first_line + node.start_mark.line

    def _wrong(self, node: yaml.Node, path: str, problem: str) -> FolderInvalid:
        return FolderInvalid(self.file, self._line(node), path or None, problem)


def field_types(type_: Any, leave_out: Iterable[str] = ()) -> dict[str, Any]:
    """Field → annotation of a dataclass, in its order."""
    hints = get_type_hints(type_)
    left_out: Sequence[str] = tuple(leave_out)
    return {each.name: hints[each.name] for each in fields(type_) if each.name not in left_out}


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == _YAML + "null"
