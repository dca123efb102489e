"""Values of a question that its answer's statement has nothing of: a condition that was forgotten, or another value.

Only what a statement can hardly say in other words counts: numbers, the years of dates, and sampled values that are no
everyday words, since orders that were placed may be of any state. A quoted text may be written otherwise in the data.
"""

from __future__ import annotations

import re

from kb.dictionary import everyday_words
from kb.masking import MaskedQuestion, Span
from kb.words import spoken

_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_YEAR = re.compile(r"\b\d{4}\b")


def unused_values(asked: MaskedQuestion, sql: str) -> tuple[str, ...]:
    """As the question writes them, in order. A number is there in any unit of ten: 5 % may be 0.05, and 5 € 500."""
    numbers = {_digits(found) for found in _NUMBER.findall(sql)}
    written = f" {spoken(sql)} "
    return tuple(
        asked.question[span.start : span.end] for span in asked.literals if not _is_used(span, numbers, written)
    )


def _is_used(span: Span, numbers: set[str], written: str) -> bool:
    match span.kind:
        case "number":
            return all(_digits(found) in numbers for found in _NUMBER.findall(span.value))
        case "date":
            return all(_digits(year) in numbers for year in _YEAR.findall(span.value))
        case "value":
            return f" {span.value} " in written or _may_mean_else(span)
        case _:
            return True


def _may_mean_else(value: Span) -> bool:
    """A misspelled one, which is kept in quotes, and one of everyday words."""
    return value.value.startswith("'") or everyday_words().issuperset(value.value.split())


def _digits(number: str) -> str:
    """Its digits without the zeros at both ends, so without its place among the units of ten."""
    return number.replace(".", "").strip("0")
