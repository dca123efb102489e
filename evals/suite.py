"""A suite: a YAML file of cases. Read strictly, so that a misspelled key is an error and never an unchecked case.

YAML says where a node stands, pydantic what is wrong with it; a path of keys and indexes joins the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from re import fullmatch
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from evals.case import Case, FlakyMeasure
from evals.errors import SuiteInvalid, SuiteNotFound
from evals.expectation_format import ExpectationEntry, JudgeFields, SimilarFields, SqlResultFields, Text

MAX_REPEATS = 20
_DOCS = "docs/evals.md shows a whole file"


@dataclass(frozen=True, slots=True)
class Suite:
    """Cases for an assistant, by unique id. `repeats` is how often each is asked."""

    name: str
    assistant: str
    repeats: int
    cases: tuple[Case, ...]

    @property
    def open_cases(self) -> tuple[Case, ...]:
        """All but those held out for the gate."""
        return tuple(case for case in self.cases if not case.held_out)


def load_suite(path: Path | str, *, assistant: str | None = None) -> Suite:
    """Read a suite. `assistant` is whose settings name it, if any do. Raises `SuiteNotFound`, `SuiteInvalid`."""
    file = str(path)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as exc:
        raise SuiteNotFound(file, exc.strerror or str(exc), assistant) from exc
    except UnicodeDecodeError as exc:
        raise SuiteNotFound(file, f"not UTF-8 at byte {exc.start}", assistant) from exc
    source = _Source(file, text)
    try:
        model = _Suite.model_validate(source.plain())
    except ValidationError as exc:
        raise source.invalid(exc.errors(include_url=False)[0]) from exc
    source.refuse_duplicate_ids()
    return Suite(model.suite, model.assistant, model.repeats, tuple(_case(case) for case in model.cases))


# ── the format ───────────────────────────────────────────────────────────────────────────────────────────────────


def _said(value: Any) -> Any:
    return {"user": value} if isinstance(value, str) else value


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Turn(_Table):
    user: Text
    assistant: Text | None = None


class _Flaky(_Table):
    passed: int = Field(ge=1)
    repeats: int
    commit: str
    measured: date

    @model_validator(mode="after")
    def _is_measured(self) -> _Flaky:
        if self.passed >= self.repeats:
            raise PydanticCustomError("flaky", "a case that wavers failed at times: passed must be less than repeats")
        if not fullmatch("[0-9a-f]{7,64}", self.commit):
            raise PydanticCustomError("flaky", "commit must be the id of a commit, 7 to 64 hexadecimal digits")
        return self


class _Case(_Table):
    id: Text
    question: Text | None = None
    turns: list[Annotated[_Turn, BeforeValidator(_said)]] | None = Field(None, min_length=1)
    tags: list[Text] = []
    expect: list[ExpectationEntry] = Field(min_length=1)
    held_out: bool = False
    flaky: _Flaky | None = None

    @model_validator(mode="after")
    def _is_asked_once(self) -> _Case:
        if (self.question is None) == (self.turns is None):
            raise PydanticCustomError("one_question", "a case holds exactly one of question, turns")
        for number, turn in enumerate(self.turns or [], start=1):
            if (turn.assistant is None) != (number == len(self.turns or [])):
                raise PydanticCustomError(
                    "turns",
                    "in turns, every entry but the last is a pair of user and assistant; the last is the question",
                )
        return self


class _Suite(_Table):
    suite: Text
    assistant: Text
    repeats: int = Field(1, ge=1, le=MAX_REPEATS)
    cases: list[_Case] = Field(min_length=1)


_FIELDS: dict[str, type[BaseModel]] = {
    "cases": _Case,
    "expect": ExpectationEntry,
    "sql_result": SqlResultFields,
    "similar": SimilarFields,
    "judge": JudgeFields,
    "turns": _Turn,
    "flaky": _Flaky,
}


def _case(model: _Case) -> Case:
    turns = model.turns or []
    earlier = tuple((turn.user, turn.assistant or "") for turn in turns[:-1])
    question = model.question if model.question is not None else turns[-1].user
    expect = tuple(entry.expectation() for entry in model.expect)
    flaky = FlakyMeasure(**model.flaky.model_dump()) if model.flaky is not None else None
    return Case(model.id, question, expect, earlier, tuple(model.tags), model.held_out, flaky)


# ── where it stands in the file ──────────────────────────────────────────────────────────────────────────────────


class _Source:
    def __init__(self, file: str, text: str) -> None:
        """Raises `SuiteInvalid` for what is not YAML, or holds a key twice."""
        self._file = file
        self._loader = yaml.SafeLoader(text)
        try:
            node = self._loader.get_single_node()
        except yaml.MarkedYAMLError as exc:
            line = exc.problem_mark.line + 1 if exc.problem_mark else 1
            raise SuiteInvalid(file, line, None, None, f"this is not YAML: {exc.problem}; correct it") from exc
        except yaml.YAMLError as exc:
            raise SuiteInvalid(file, 1, None, None, f"this is not YAML: {exc}; correct it") from exc
        if not isinstance(node, MappingNode):
            raise SuiteInvalid(file, 1, None, None, f"a suite is a mapping with suite, assistant and cases; {_DOCS}")
        self._root = node
        self._seen: set[int] = set()
        self._refuse_double_keys(node, ())

    def plain(self) -> Any:
        """The file as lists, dicts and scalars. Raises `SuiteInvalid` for an unknown tag or a bad scalar."""
        try:
            return self._loader.construct_document(self._root)
        except (yaml.MarkedYAMLError, ValueError) as exc:
            mark = exc.problem_mark if isinstance(exc, yaml.MarkedYAMLError) else None
            problem = exc.problem if isinstance(exc, yaml.MarkedYAMLError) else str(exc)
            line = mark.line + 1 if mark else 1
            raise SuiteInvalid(self._file, line, None, None, f"a value cannot be read: {problem}") from exc

    def invalid(self, error: ErrorDetails) -> SuiteInvalid:
        path = error["loc"]
        if error["type"] == "extra_forbidden":
            return self._error(path, _unknown_field(path))
        if error["type"] == "missing":
            return self._error(path, f"it is missing; add it ({_DOCS})")
        if error["type"] in ("too_short", "string_too_short", "string_pattern_mismatch"):
            return self._error(path, "it is empty; give at least one, or leave the field out where it may be")
        message = error["msg"]
        return self._error(path, message[0].lower() + message[1:])

    def refuse_duplicate_ids(self) -> None:
        cases = _child(self._root, "cases")
        assert isinstance(cases, SequenceNode), "the suite was validated"
        first_lines: dict[str, int] = {}
        for index, node in enumerate(cases.value):
            name = self._case_id(index)
            assert name is not None, "the case was validated"
            line = node.start_mark.line + 1
            if name in first_lines:
                raise self._error(
                    ("cases", index, "id"),
                    f"the case at line {first_lines[name]} has the same id; give each case its own",
                )
            first_lines[name] = line

    def _error(self, path: Sequence[int | str], problem: str) -> SuiteInvalid:
        case = self._case_id(path[1]) if len(path) > 1 and path[0] == "cases" else None
        inside = path[2:] if len(path) > 1 and path[0] == "cases" else path
        field = ".".join(str(part) for part in inside) or None
        return SuiteInvalid(self._file, self._line(path), case, field, problem)

    def _line(self, path: Sequence[int | str]) -> int:
        """The line of the deepest node on the path: of its key, where a mapping holds it."""
        node: Node | None = self._root
        line = self._root.start_mark.line
        for part in path:
            if isinstance(node, MappingNode):
                key = next((k for k, _ in node.value if k.value == part), None)
                line = key.start_mark.line if key is not None else line
            node = _child(node, part) if node is not None else None
            if node is not None and isinstance(part, int):
                line = node.start_mark.line
        return line + 1

    def _case_id(self, index: int | str) -> str | None:
        node: Node | None = self._root
        for part in ("cases", index, "id"):
            node = _child(node, part) if node is not None else None
        return str(node.value) if isinstance(node, ScalarNode) else None

    def _refuse_double_keys(self, node: Node, path: tuple[int | str, ...]) -> None:
        if id(node) in self._seen:
            return  # an alias: it may even stand inside of what it names
        self._seen.add(id(node))
        if isinstance(node, MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                name = str(key.value)
                if name in seen:
                    error = self._error((*path, name), "it is given twice; keep one")
                    raise SuiteInvalid(error.file, key.start_mark.line + 1, error.case, error.field, error.problem)
                seen.add(name)
                self._refuse_double_keys(value, (*path, name))
        elif isinstance(node, SequenceNode):
            for index, value in enumerate(node.value):
                self._refuse_double_keys(value, (*path, index))


def _child(node: Node, part: int | str) -> Node | None:
    if isinstance(node, MappingNode):
        return next((value for key, value in node.value if key.value == part), None)
    if isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
        child: Node = node.value[part]
        return child
    return None


def _unknown_field(path: Sequence[int | str]) -> str:
    owner = next((part for part in reversed(path[:-1]) if isinstance(part, str)), None)
    model = _FIELDS.get(owner, _Suite) if owner is not None else _Suite
    allowed = list(model.model_fields)
    near = get_close_matches(str(path[-1]), allowed, 1)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    return f"there is no such field{hint} Allowed: {', '.join(allowed)}"
