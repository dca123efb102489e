"""The difference of two answers word by word: a statement is often one long line, of which a word changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import regex
from rapidfuzz.distance import Indel

# A mark belongs to its letter, and a joined emoji is one sign: `re` knows neither.
_WORD = regex.compile(r"\s|\w[\w\p{M}]*|\X")
_MAX_WORDS = 20_000
"""Beyond, answers are compared line by line: time and memory of the comparison grow with the square."""

_Change = tuple[bool, int, int, int, int]
"""Whether both have it, and where it stands: [i, j) of the words before, [k, m) of those after."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that stands in both answers, in the first alone, or in the second alone."""

    kind: Literal["same", "removed", "added"]
    text: str


def answer_diff(before: str, after: str) -> tuple[Piece, ...]:
    """The pieces in order; those that are `same` or `removed` make `before`, those `same` or `added` make `after`."""
    words = _WORD.findall(before), _WORD.findall(after)
    if max(map(len, words)) > _MAX_WORDS:
        words = before.splitlines(keepends=True), after.splitlines(keepends=True)
    return tuple(piece for piece in _pieces(*words) if piece.text)


def _pieces(before: list[str], after: list[str]) -> Iterator[Piece]:
    for same, i, j, k, m in _changes(before, after):
        if same:
            yield Piece("same", "".join(before[i:j]))
        else:
            yield Piece("removed", "".join(before[i:j]))
            yield Piece("added", "".join(after[k:m]))


def _changes(before: list[str], after: list[str]) -> Iterator[_Change]:
    """Words that changed side by side are one change, with the blanks between them."""
    found = list(Indel.opcodes(before, after))
    pending: _Change | None = None
    for position, change in enumerate(found):
        i, j, k, m = change.src_start, change.src_end, change.dest_start, change.dest_end
        between = 0 < position < len(found) - 1 and not "".join(before[i:j]).strip(" ")
        if change.tag != "equal" or between:
            pending = (False, i, j, k, m) if pending is None else (False, pending[1], j, pending[3], m)
            continue
        if pending is not None:
            yield pending
            pending = None
        yield (True, i, j, k, m)
    if pending is not None:
        yield pending
