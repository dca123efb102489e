"""Words that are one slip from a given one, without looking at the others.

A word and one that is a slip away have a form in common when each may lose one letter (symmetric deletion, as in
Garbe's SymSpell), so both are found under it; rapidfuzz then says whether it is one slip.
"""

from __future__ import annotations

from collections.abc import Iterator

from rapidfuzz.distance import OSA

MAX_EDITS = 1


class Spellings:
    """Optimal string alignment: an insertion, deletion, substitution or a swap of neighbours is one edit."""

    def __init__(self) -> None:
        self._by_form: dict[str, list[str]] = {}
        self._known: set[str] = set()
        self._longest = 0

    def add(self, word: str) -> None:
        if word not in self._known:
            self._known.add(word)
            self._longest = max(self._longest, len(word))
            for form in _forms(word):
                self._by_form.setdefault(form, []).append(word)

    def near(self, word: str) -> list[tuple[int, str]]:
        """Edits and word, for every known word at most `MAX_EDITS` away; the nearest first, then by letters."""
        # Its forms would take its length squared, and a word of a question may have as many letters as it likes.
        if len(word) > self._longest + MAX_EDITS:
            return []
        found = {known for form in _forms(word) for known in self._by_form.get(form, ())}
        edits = ((OSA.distance(word, known, score_cutoff=MAX_EDITS), known) for known in found)
        return sorted((distance, known) for distance, known in edits if distance <= MAX_EDITS)


def _forms(word: str) -> Iterator[str]:
    """The word, and the word without each of its letters."""
    yield from {word, *(word[:place] + word[place + 1 :] for place in range(len(word)))}
