"""Values of a question that its answer's statement has nothing of: a condition that was forgotten, or another value.

Only what a statement can hardly say in other words counts: numbers, the years of dates, and values that the database
was sampled for. A quoted text may be written otherwise in the data.
"""

from __future__ import annotations

import re

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
        case "value" if not span.value.startswith("'"):  # else it is misspelled, and what it means is a guess
            return f" {span.value} " in written
        case _:
            return True


def _digits(number: str) -> str:
    """Its digits without the zeros at both ends, so without its place among the units of ten."""
    return number.replace(".", "").strip("0")
