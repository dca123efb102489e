"""Takes what lives as long as the gateway out of the garbage collector's sight.

Libraries, models and indexes are a million objects. Python looks through all of them each time that it collects
everything, which takes half a second, and every request under way waits for it. What is frozen is still freed once
nothing refers to it; only cycles in it never are, so that nothing is frozen again and again.
"""

from __future__ import annotations

import gc

from kb.knowledge_base import KnowledgeBase
from kb.store import BaseId


def freeze() -> None:
    """All that lives now. What is garbage already is collected first, since it would stay."""
    gc.collect()
    gc.freeze()


class FirstIndexes:
    """Freezes the first index that is made of each revision; what later commits add to it is little."""

    def __init__(self) -> None:
        self._made: set[tuple[BaseId, str]] = set()

    def made(self, base: KnowledgeBase, revision: str, _commit: str) -> None:
        """The follower's word that an index is made."""
        if (base.id, revision) not in self._made:
            self._made.add((base.id, revision))
            freeze()
