"""Which tables a later turn takes in, beside the likeliest: those whose chance is worth the text that they bring.

What a first turn places is mostly cached, since other conversations begin alike. What a later one places stands behind
words of that conversation alone, so that each token of it is computed for it, and stays in every turn that follows.
So a table of little text comes on slight suspicion, and one of much only where it is likely.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from gateway.item_text import item_text
from kb.hit import Hit

LACKED = 5000
"""Characters that it is worth not to lack a table: found on SParC's and CoSQL's dialogues (docs/decisions/046)."""

LIKELY = 0.5
"""The chance from which a table is worth any text, so that wide ones are not left out for their width."""


@dataclass(frozen=True, slots=True)
class NewTables:
    """`placed` are ids of items that the conversation has: they cost nothing."""

    placed: Set[str]

    def worth(self, table: Hit) -> bool:
        """`table` was found by the question, so that its score is a chance."""
        return table.item.id in self.placed or table.score >= min(LIKELY, len(item_text(table.item)) / LACKED)
