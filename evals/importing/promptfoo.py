"""promptfoo's tests (YAML or JSON): a configuration with `tests`, or a file that is a list of them.

Format: https://www.promptfoo.dev/docs/configuration/reference/. Prompts and providers are an assistant's settings
here, so nothing is read of them. A test of which only some assertions have a counterpart keeps those.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

from evals.case import AnswerExpectation
from evals.importing.found import Found, Imported
from evals.importing.promptfoo_asserts import NotExpressible, expectation_of, filled, variables_in
from kb.importers.record import Record
from kb.importers.yaml_file import read_yaml_items

QUESTION = ("question", "query", "prompt", "input", "message")
"""The variable that holds the question is called one of these, or is the only one."""

_READ = ("description", "vars", "assert")
_DECIDING = {
    "threshold": "with a threshold not every assertion must hold",
    "assertScoringFunction": "a function decides",
}
_CHANGING = ("transform", "postprocess", "prefix", "suffix")
"""Options that change the prompt or the answer."""


def read_promptfoo(path: Path) -> Imported:
    """Raises `SourceInvalid`."""
    record = read_yaml_items(path)
    found = Found(str(path))
    default = record.values.get("defaultTest")
    common = record.record("defaultTest") if not isinstance(default, str) else None
    if isinstance(default, str):
        found.leave_out(record.place("defaultTest"), "defaultTest", f"it lies in another file, {default}")
    for name, entry in _entries(record):
        if isinstance(entry, Record):
            _test(found, entry, common)
        else:
            found.leave_out(record.place(name), str(entry), "these tests lie in another file; import that one")
    return found.done("tests with vars and assert")


def _entries(record: Record) -> Iterator[tuple[str, Record | str]]:
    name = "items" if "items" in record.values else "tests"
    value = record.values.get(name)
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, list):
        for index, each in enumerate(value):
            inner = f"{name}[{index}]"
            if isinstance(each, dict):
                yield inner, Record(record.file, f"{record.path}.{inner}", each, record.lines)
            else:
                yield inner, str(each)
    elif value is not None:
        raise record.wrong("a list of tests is expected", name)


def _test(found: Found, test: Record, common: Record | None) -> None:
    parts = [part for part in (common, test) if part is not None]
    name = test.text("description")
    try:
        variables = _variables(parts)
        asked = _question_name(variables)
        _refuse_what_decides(parts)
        questions = _questions(variables, asked)
    except NotExpressible as exc:
        found.leave_out(test.place(), name or "a test", str(exc))
        return
    _tell_unread(
        found, test, name or questions[0], parts, set(variables) - {asked} - variables_in(str(variables[asked]))
    )
    for question in questions:
        values = {**{key: value for key, value in variables.items() if isinstance(value, str)}, asked: question}
        expect = _expectations(found, name or question, parts, values)
        if expect:
            found.case(test.place(), name, question, expect)
        else:
            found.leave_out(test.place(), name or question, "none of its assertions has a counterpart")


def _refuse_what_decides(parts: list[Record]) -> None:
    for part in parts:
        for field, reason in _DECIDING.items():
            if part.values.get(field) is not None:
                raise NotExpressible(reason)
        options = part.record("options")
        changing = [name for name in _CHANGING if options is not None and options.values.get(name) is not None]
        if changing:
            raise NotExpressible(f"its option '{changing[0]}' changes what is asked or answered")


def _variables(parts: list[Record]) -> dict[str, str | list[str]]:
    found: dict[str, str | list[str]] = {}
    for part in parts:
        given = part.values.get("vars")
        if isinstance(given, str):
            raise NotExpressible(f"its variables lie in another file, {given}")
        inner = part.record("vars")
        for key, value in (inner.values if inner else {}).items():
            assert inner is not None, "it has values"
            if isinstance(value, list):
                found[key] = list(inner.texts(key))
            elif not isinstance(value, dict):
                found[key] = inner.text(key)
    return found


def _question_name(variables: Mapping[str, str | list[str]]) -> str:
    named = [name for name in QUESTION if name in variables]
    if named:
        return named[0]
    if len(variables) == 1:
        return next(iter(variables))
    listed = ", ".join(variables) or "none"
    raise NotExpressible(f"none of its variables ({listed}) is called {' or '.join(QUESTION)}")


def _questions(variables: Mapping[str, str | list[str]], asked: str) -> list[str]:
    """promptfoo runs a test once for each value of a list."""
    for name, value in variables.items():
        if name != asked and isinstance(value, list):
            raise NotExpressible(f"its variable '{name}' is a list, for each of which it is run")
    value = variables[asked]
    texts = {name: text for name, text in variables.items() if isinstance(text, str) and name != asked}
    questions = [filled(text, texts) for text in (value if isinstance(value, list) else [value]) if text.strip()]
    if not questions:
        raise NotExpressible(f"its variable '{asked}' is empty")
    return questions


def _expectations(found: Found, name: str, parts: list[Record], values: Mapping[str, str]) -> list[AnswerExpectation]:
    expect: list[AnswerExpectation] = []
    for assertion in chain.from_iterable(part.records("assert") for part in parts):
        try:
            expectation = expectation_of(assertion, values)
        except NotExpressible as exc:
            found.leave_out(assertion.place(), name, str(exc), what="assert")
            continue
        if expectation not in expect:
            expect.append(expectation)
    return expect


def _tell_unread(found: Found, test: Record, name: str, parts: list[Record], others: set[str]) -> None:
    used = {
        variable
        for part in parts
        for assertion in part.records("assert")
        for text in _given(assertion)
        for variable in variables_in(text)
    }
    for variable in sorted(others - used):
        found.leave_out(test.place("vars"), name, "only the question is asked", what=f"variable {variable}")
    for field in (field for field in test.values if field not in _READ):
        found.leave_out(test.place(field), name, "a case has no such field", what=field)


def _given(assertion: Record) -> list[str]:
    value = assertion.values.get("value")
    return [str(each) for each in value] if isinstance(value, list) else [str(value or "")]
