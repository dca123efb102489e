"""The masked questions of templates and successes, and which of them a change of names may mask in another way.

A mask depends on the question and on the names of the commit. Each distinct masked question is held once, by number;
a commit says which number each of its patterns has.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from kb.entities import may_be_misspelled
from kb.growing_array import GrowingArray
from kb.masking import MaskedQuestion
from kb.spellings import Spellings
from kb.words import words

Slots = GrowingArray[np.int32]


class PatternMasks:
    """Patterns are slots, which are added in ascending order. One thread at a time may add."""

    def __init__(self) -> None:
        self.masks: list[MaskedQuestion] = []
        self._numbers: dict[MaskedQuestion, int] = {}
        self._rows: GrowingArray[np.int64] = GrowingArray(np.int64)
        self._by_stem: dict[str, Slots] = {}
        self._by_word: dict[str, Slots] = {}
        self._by_writing: dict[str, Slots] = {}
        """Words, and neighbours without the space between them: a name may be written with a space more or less."""
        self._spellings = Spellings()

    @property
    def rows(self) -> NDArray[np.int64]:
        """The row of the dense index of each masked question, by number."""
        return self._rows.values

    def add(self, slot: int, question: str) -> None:
        found = words(question)
        for stem in dict.fromkeys(word.stem for word in found):
            self._by_stem.setdefault(stem, GrowingArray(np.int32)).append(slot)
        doubtful = {word.text for word in found if may_be_misspelled(word.text)}
        # A space may be one too many.
        doubtful |= {one.text + two.text for one, two in pairwise(found) if {one.text, two.text} & doubtful}
        for word in sorted(doubtful):
            self._add_word(slot, word)
        joined = (one.text + two.text for one, two in pairwise(found))
        for written in dict.fromkeys((*(word.text for word in found), *joined)):
            self._by_writing.setdefault(written, GrowingArray(np.int32)).append(slot)

    def number(self, mask: MaskedQuestion) -> int | None:
        """Its number; `None` where it is not held yet."""
        return self._numbers.get(mask)

    def keep(self, mask: MaskedQuestion, row: int) -> int:
        """Hold a masked question that is new, whose text has this row of the dense index; gives its number."""
        self.masks.append(mask)
        self._rows.append(row)
        return self._numbers.setdefault(mask, len(self.masks) - 1)

    def touched(self, keys: Iterable[str], spellings: Iterable[str]) -> NDArray[np.int32]:
        """Patterns, of all commits, that names of these keys and spellings could mask; perhaps a few more."""
        found: list[NDArray[np.int32]] = [np.zeros(0, dtype=np.int32)]
        for key in keys:
            postings = [self._by_stem.get(stem) for stem in key.split()]
            # All stems of a key have to be there; the rarest says enough.
            known = [posting.values for posting in postings if posting is not None]
            if len(known) == len(postings):
                found.append(min(known, key=len))
        for spelling in spellings:
            found.extend(self._by_word[near].values for _, near in self._spellings.near(spelling))
            if spelling in self._by_writing:
                found.append(self._by_writing[spelling].values)
        return np.unique(np.concatenate(found))

    def _add_word(self, slot: int, word: str) -> None:
        if word not in self._by_word:
            self._by_word[word] = GrowingArray(np.int32)
            self._spellings.add(word)
        self._by_word[word].append(slot)
