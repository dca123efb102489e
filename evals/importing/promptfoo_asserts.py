"""promptfoo's assertions that have a counterpart: https://www.promptfoo.dev/docs/configuration/expected-outputs/

What its `contains` family says of a text, a regular expression says, too. An `equals` of a query becomes
`sql_result`, since two statements of the same rows are the same answer here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from evals.case import AnswerExpectation, Equals, Judge, Refuses, Regex, Similar, SqlResult
from kb.importers.record import Record
from kb.importers.statement import Statements

SIMILAR_AT_LEAST = 0.75
"""promptfoo's threshold where a test names none."""

_PLAIN_SQL = Statements("", {})
_SPECIAL = re.compile(r"[\\.^$*+?{}\[\]|()]")
_VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")


class NotExpressible(Exception):
    """Carries why an assertion or a text has no counterpart."""


def expectation_of(assertion: Record, values: Mapping[str, str]) -> AnswerExpectation:
    """`values` fill `{{ name }}` in the assertion's value. Raises `NotExpressible`, `SourceInvalid`."""
    kind = assertion.required("type")
    make = _KINDS.get(kind)
    if make is None:
        raise NotExpressible(f"'{kind}' has no counterpart")
    if assertion.text("weight") in ("0", "0.0"):
        raise NotExpressible("with weight 0 it decides nothing")
    if assertion.values.get("transform") is not None:
        raise NotExpressible("it judges a transformed answer")
    return make(assertion, _texts(assertion, values))


def filled(text: str, values: Mapping[str, str]) -> str:
    """Raises `NotExpressible` for a template that is more than the name of a variable."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise NotExpressible(f"no variable '{match[1]}' is given")
        return values[match[1]]

    if text.startswith("file://"):
        raise NotExpressible(f"it lies in another file, {text}")
    rest = _VARIABLE.sub("", text)
    if "{{" in rest or "{%" in rest:
        raise NotExpressible("it holds a template that is more than a variable's name")
    return _VARIABLE.sub(value, text)


def variables_in(text: str) -> set[str]:
    return set(_VARIABLE.findall(text))


def _texts(assertion: Record, values: Mapping[str, str]) -> tuple[str, ...]:
    value = assertion.values.get("value")
    if isinstance(value, dict):
        raise NotExpressible("its value has fields, and an answer is text")
    given = assertion.texts("value") if isinstance(value, list) else (assertion.text("value"),)
    return tuple(text for text in (filled(each, values) for each in given) if text.strip())


def _one(assertion: Record, texts: tuple[str, ...]) -> str:
    if len(texts) != 1:
        raise assertion.wrong("one text is expected", "value")
    return texts[0]


def _several(assertion: Record, texts: tuple[str, ...]) -> tuple[str, ...]:
    """promptfoo also takes them as one text, parted by commas."""
    if isinstance(assertion.values.get("value"), str):
        texts = tuple(part.strip() for part in texts[0].split(",") if part.strip()) if texts else ()
    if not texts:
        raise assertion.wrong("is missing or empty; give it a list of texts", "value")
    return texts


def _equals(assertion: Record, texts: tuple[str, ...]) -> AnswerExpectation:
    text = _one(assertion, texts)
    return SqlResult((text,)) if _PLAIN_SQL.query(text) is not None else Equals((text,))


def _regex(assertion: Record, texts: tuple[str, ...]) -> AnswerExpectation:
    pattern = _one(assertion, texts)
    try:
        re.compile(pattern)
    except re.error as exc:
        raise NotExpressible(f"Python reads its regular expression otherwise than JavaScript: {exc}") from exc
    return Regex((pattern,))


def _contains(flags: str = "", anchor: str = "") -> Callable[[Record, tuple[str, ...]], AnswerExpectation]:
    return lambda assertion, texts: Regex((flags + anchor + _literal(_one(assertion, texts)),))


def _contains_all(flags: str = "") -> Callable[[Record, tuple[str, ...]], AnswerExpectation]:
    return lambda assertion, texts: Regex(tuple(flags + _literal(each) for each in _several(assertion, texts)))


def _contains_any(flags: str = "") -> Callable[[Record, tuple[str, ...]], AnswerExpectation]:
    return lambda assertion, texts: Regex((flags + "|".join(_literal(each) for each in _several(assertion, texts)),))


def _similar(assertion: Record, texts: tuple[str, ...]) -> AnswerExpectation:
    given = assertion.text("threshold")
    try:
        at_least = float(given) if given else SIMILAR_AT_LEAST
    except ValueError as exc:
        raise assertion.wrong(f"'{given}' is no number", "threshold") from exc
    if not texts:
        raise assertion.wrong("is missing or empty; give it a text", "value")
    if not 0 < at_least <= 1:
        raise NotExpressible(f"its threshold {given} is not above 0 and up to 1")
    return Similar(texts, at_least)


def _judge(assertion: Record, texts: tuple[str, ...]) -> AnswerExpectation:
    if assertion.text("threshold"):
        raise NotExpressible("its grader gives a score, and a judge says yes or no")
    return Judge(_one(assertion, texts))


def _literal(text: str) -> str:
    """A pattern of the text itself, easier to read than `re.escape` makes it."""
    return _SPECIAL.sub(r"\\\g<0>", text)


_KINDS: dict[str, Callable[[Record, tuple[str, ...]], AnswerExpectation]] = {
    "equals": _equals,
    "regex": _regex,
    "contains": _contains(),
    "icontains": _contains("(?i)"),
    "starts-with": _contains(anchor=r"\A"),
    "contains-all": _contains_all(),
    "icontains-all": _contains_all("(?i)"),
    "contains-any": _contains_any(),
    "icontains-any": _contains_any("(?i)"),
    "similar": _similar,
    "llm-rubric": _judge,
    "model-graded-closedqa": _judge,
    "is-refusal": lambda _assertion, _texts: Refuses(),
}
