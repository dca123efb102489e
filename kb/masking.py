"""Masked questions: a question with its names and literals taken out, and what was taken out.

Two questions of one pattern have one masked text; two that mean the same have the same literals, too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kb.entities import Mention
from kb.words import spoken, spoken_singular

LiteralKind = Literal["text", "date", "number", "value"]

_MONTHS = (
    "january february march april may june july august september october november december "
    "jan feb mar apr jun jul aug sep sept oct nov dec"
).split()
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_LITERALS: tuple[tuple[LiteralKind, re.Pattern[str]], ...] = (
    ("text", re.compile(r"\"[^\"]+\"|“[^”]+”|(?<!\w)'[^']+'(?!\w)")),
    (
        "date",
        re.compile(
            rf"\b\d{{4}}-\d{{2}}(?:-\d{{2}})?\b|\b(?:{_MONTH})\.?\s+(?:\d{{1,2}}(?:st|nd|rd|th)?,?\s+)?\d{{4}}\b"
            rf"|\b\d{{1,2}}(?:st|nd|rd|th)?\s+(?:of\s+)?(?:{_MONTH})\.?\s+\d{{4}}\b",
            re.IGNORECASE,
        ),
    ),
    ("number", re.compile(r"(?<![\w.])-?\d+(?:[.,]\d+)*\b")),
)
_THOUSANDS = re.compile(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Span:
    """A literal or name in the question; `value` is its normal form."""

    kind: LiteralKind | Literal["name"]
    value: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class MaskedQuestion:
    """`text` is the question with `<value>`, `<number>`, `<date>`, `<name>` in place of its spans, in order."""

    question: str
    text: str
    spans: tuple[Span, ...]

    @property
    def literals(self) -> tuple[Span, ...]:
        return tuple(span for span in self.spans if span.kind != "name")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(span.value for span in self.spans if span.kind == "name")


def mask(question: str, mentions: Sequence[Mention]) -> MaskedQuestion:
    """Literals first (quoted, dates, numbers), then mentions that do not overlap them."""
    spans: list[Span] = []
    taken = bytearray(len(question))
    for kind, pattern in _LITERALS:
        for match in pattern.finditer(question):
            _add(spans, taken, Span(kind, _literal(kind, match.group()), match.start(), match.end()))
    for mention in mentions:
        kind_of_name: Literal["value", "name"] = "value" if mention.is_value else "name"
        _add(spans, taken, Span(kind_of_name, _name(mention), mention.start, mention.end))
    spans.sort(key=lambda span: span.start)
    text, position = "", 0
    for span in spans:
        shown = "value" if span.kind == "text" else span.kind
        text += f"{question[position : span.start]}<{shown}>"
        position = span.end
    return MaskedQuestion(question, text + question[position:], tuple(spans))


def _add(spans: list[Span], taken: bytearray, span: Span) -> None:
    """Keep the span unless it overlaps one that was kept; `taken` has a byte for each character of the question."""
    if not any(taken[span.start : span.end]):
        taken[span.start : span.end] = b"\1" * (span.end - span.start)
        spans.append(span)


def _literal(kind: LiteralKind, value: str) -> str:
    """As written, but for quotes, the case of a month and the commas of thousands: `-5` is not `5`, 'A' not 'a'."""
    if kind == "text":
        return value[1:-1]
    if kind == "number":
        return value.replace(",", "") if _THOUSANDS.fullmatch(value) else value
    return " ".join(value.lower().split())


def _name(mention: Mention) -> str:
    """The one name a mention is a spelling of; else the mention as written.

    A misspelled name, a word that only shares a name's stem (`custom`, `customers`) and a synonym of several
    names may each mean something else, so they stand for themselves.
    """
    spelled = spoken if mention.is_value else spoken_singular
    surface = spelled(mention.surface)
    meant = {spelled(name.canonical) for name in mention.best if spelled(name.surface) == surface}
    if mention.fuzzy or len(meant) != 1:
        return f"'{mention.surface.lower()}'"
    return meant.pop()
