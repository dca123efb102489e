"""The symbols of a question that change what it asks: `>` and `<`, `%`, `2020-2024`, an emoji, a vowel sign.

Words alone would drop them. Only punctuation that is known to say nothing is left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from kb.masking import MaskedQuestion
from kb.words import Word

_SILENT = frozenset(".,;:?!'\"“”‘’…-–—_¿¡、。，？！؟،")
_MEANT = re.compile(r"!=|(?<=\d)\s*[-–—:/]\s*(?=\d)|(?<=\s)[-–—](?=\s)")
"""Marks that are silent elsewhere: an operator, a range or time of digits, a dash on its own."""


def symbols(question: MaskedQuestion, found: Sequence[Word]) -> list[tuple[int, str]]:
    """Position and symbol, in order. `found` are the question's words."""
    text = question.question
    covered = {at for word in found for at in range(word.start, word.end)}
    covered |= {at for span in question.spans for at in range(span.start, span.end)}
    symbols = {match.start(): match.group().strip() for match in _MEANT.finditer(text) if match.start() not in covered}
    for at, character in enumerate(text):
        if at not in covered and not character.isspace() and character not in _SILENT:
            symbols.setdefault(at, character)
    return sorted(symbols.items())
