"""The difference of two answers word by word: a statement is often one long line, of which a word changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

_WORD = re.compile(r"\s+|\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that stands in both answers, in the first alone, or in the second alone."""

    kind: Literal["same", "removed", "added"]
    text: str


def answer_diff(before: str, after: str) -> tuple[Piece, ...]:
    """The pieces in order; those that are `same` or `removed` make `before`, those `same` or `added` make `after`."""
    return tuple(piece for piece in _pieces(_WORD.findall(before), _WORD.findall(after)) if piece.text)


def _pieces(before: list[str], after: list[str]) -> Iterator[Piece]:
    for operation, i, j, k, m in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if operation == "equal":
            yield Piece("same", "".join(before[i:j]))
        else:
            yield Piece("removed", "".join(before[i:j]))
            yield Piece("added", "".join(after[k:m]))
