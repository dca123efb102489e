"""Masked questions: a question with its names and literals taken out, and what was taken out.

Two questions of one pattern have one masked text; two that mean the same have the same literals, too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kb.entities import Mention
from kb.words import stem, words

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
    for kind, pattern in _LITERALS:
        for match in pattern.finditer(question):
            _add(spans, Span(kind, _normal(match.group()), match.start(), match.end()))
    for mention in mentions:
        kind_of_name: Literal["value", "name"] = "value" if mention.is_value else "name"
        _add(spans, Span(kind_of_name, _normal(mention.canonical), mention.start, mention.end))
    spans.sort(key=lambda span: span.start)
    text, position = "", 0
    for span in spans:
        shown = "value" if span.kind == "text" else span.kind
        text += f"{question[position : span.start]}<{shown}>"
        position = span.end
    return MaskedQuestion(question, text + question[position:], tuple(spans))


def _add(spans: list[Span], span: Span) -> None:
    if not any(other.start < span.end and span.start < other.end for other in spans):
        spans.append(span)


def _normal(value: str) -> str:
    inner = value.strip("\"“”'")
    return " ".join(stem(word.text) for word in words(inner)) or inner
