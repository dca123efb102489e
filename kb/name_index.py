"""The name index: every name by which a question may speak of an item, each held once; a commit is a filter over it.

Names lie in a trie (pyahocorasick). Turned into an automaton it would have to be made anew for every new name; as a
trie it only grows, and it is walked from each word of a question, since a name starts where a word does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import ahocorasick
import numpy as np

from kb.entities import EntityIndex, Name, keys_of, names_of, spellings_of
from kb.growing_array import GrowingArray
from kb.items import Item
from kb.spellings import Spellings

Owners = GrowingArray[np.int32]


class NameIndex:
    """Owners are slots, which are added in ascending order. One thread at a time may add."""

    def __init__(self) -> None:
        self._by_key: dict[str, dict[Name, Owners]] = {}
        self._trie = ahocorasick.Automaton()
        self._longest = 0
        self._readings: dict[str, tuple[str, ...]] = {}
        self._spellings = Spellings()

    def add(self, slot: int, item: Item) -> None:
        for name in dict.fromkeys(names_of(item)):
            for key in keys_of(name.surface):
                self._owners(key, name).append(slot)

    def owners(self, key: str) -> Mapping[Name, Owners]:
        """The names of a key and the slots of their items, of all commits."""
        return self._by_key.get(key, {})

    def starting(self, text: str, position: int) -> Iterator[str]:
        """Keys that stand in `text` from `position` on. It is stems, with one space before and after each."""
        text = text[position : position + self._longest]
        reach = self._trie.longest_prefix(text)
        stop = text.find(" ", 1)
        while 0 < stop < reach:
            key = text[1:stop]
            if key in self._by_key:
                yield key
            stop = text.find(" ", stop + 1)

    def readings(self, written: str, *, edits: int) -> list[str]:
        """The stems, joined by spaces, that words of names stand for which are at most 0 or 1 `edits` away."""
        spellings = [known for _, known in self._spellings.near(written)] if edits else [written]
        return sorted({reading for spelling in spellings for reading in self._readings.get(spelling, ())})

    def _owners(self, key: str, name: Name) -> Owners:
        names = self._by_key.get(key)
        if names is None:
            self._trie.add_word(f" {key} ", 0)
            self._longest = max(self._longest, len(key) + 2)
            names = self._by_key.setdefault(key, {})
        if name not in names:
            for spelling, reading in spellings_of(name.surface, name.kind):
                known = self._readings.get(spelling, ())
                if reading not in known:
                    self._readings[spelling] = (*known, reading)
                self._spellings.add(spelling)
            # A new dictionary, so that whoever reads the old one never meets a change.
            self._by_key[key] = {**names, name: GrowingArray(np.int32)}
        return self._by_key[key][name]


def entities_of(items: Sequence[Item]) -> EntityIndex:
    """An index of these items alone; the owners of its mentions are places in `items`."""
    names = NameIndex()
    for place, item in enumerate(items):
        names.add(place, item)
    return EntityIndex(names, np.ones(len(items), dtype=np.bool_))
