"""Whether a difference of two statements is a rule, or only what one user's question asks for.

A value that the question says, a date, a limit of one question: none of them is knowledge about the data. A filter that
holds a text while the question has a name that stands nowhere in the statement is taken for that name's mapping.
"""

from __future__ import annotations

import re

from gateway.sql_difference import Difference
from kb.masking import MaskedQuestion
from kb.words import stems, words

_DATE = re.compile(r"(?:19|20)\d\d(?:-\d{1,2}){0,2}(?:[ T].*)?")
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
_CODE = re.compile(r"\w[\w-]{0,30}")
_SAID_NUMBERS = dict(
    zip("one two three four five six seven eight nine ten eleven twelve".split(), map(str, range(1, 13)), strict=True)
)
_UNITS = ("unit",)
"""Kinds whose number belongs to the column."""


def only_of_the_question(difference: Difference, asked: MaskedQuestion, right: str) -> str | None:
    """Why a difference is no rule, in a few words; `None` where it is one. `right` is the right statement."""
    if difference.kind == "bound":
        return f"{difference.right} in place of {difference.wrong} is a bound of this question"
    if difference.kind in _UNITS:
        return None
    said = _stems_of(asked.question)
    for value in difference.literals:
        if _DATE.fullmatch(value):
            return f"'{value}' is a date"
        if is_said(value, said):
            return f"the question says '{value}'"
        if difference.kind == "literal" and not _CODE.fullmatch(value):
            return f"'{value}' is no code of the column"
    texts = [value for value in difference.literals if not _NUMBER.fullmatch(value)]
    unplaced = _unplaced_name(asked, right) if difference.kind == "missing_filter" and texts else None
    if unplaced is not None:
        return f"'{texts[0]}' may be what the question calls '{unplaced}'"
    return None


def general_question(asked: MaskedQuestion, *values: str) -> str:
    """The question with an ellipsis for each of its literals, and for each word of one of the statement's `values`."""
    stand_in = {stem for value in values for stem in stems(value)}
    places = [(span.start, span.end) for span in asked.literals]
    places += [(word.start, word.end) for word in words(asked.question) if word.stem in stand_in]
    places += [(word.start, word.end) for word in words(asked.question) if _is_name(asked, word.start)]
    text, position = "", 0
    for start, end in sorted(set(places)):
        if start >= position:
            text += f"{asked.question[position:start]}…"
        position = max(position, end)
    return " ".join(re.sub(r"…(?:\s*…)+", "…", text + asked.question[position:]).split())


def is_said(value: str, question: frozenset[str]) -> bool:
    """Whether all words of a literal are among the stems of a question."""
    found = stems(value)
    return bool(found) and question.issuperset(found)


def _stems_of(question: str) -> frozenset[str]:
    found = words(question)
    numbers = {_SAID_NUMBERS[word.text] for word in found if word.text in _SAID_NUMBERS}
    return frozenset(stems(question)) | {word.stem for word in found} | numbers


def _unplaced_name(asked: MaskedQuestion, right: str) -> str | None:
    """A name in the question that the right statement does not have as it is written."""
    names = (asked.question[word.start : word.end] for word in words(asked.question) if _is_name(asked, word.start))
    return next((name for name in names if name.casefold() not in right.casefold()), None)


def _is_name(asked: MaskedQuestion, start: int) -> bool:
    """A capital inside a sentence, but for months and names of the schema."""
    before = asked.question[:start].rstrip()
    if not asked.question[start].isupper() or not before or before[-1] in ".?!:":
        return False
    return asked.question[start:].split()[0] != "I" and not any(
        span.start <= start < span.end for span in asked.spans if span.kind in ("date", "name")
    )
