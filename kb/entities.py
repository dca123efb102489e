"""Entity detection: which names of a base occur in a question, by an Aho-Corasick automaton over stems.

Names are tables, columns, sampled values and the entities that items declare, with synonyms. A word that no name
covers is matched once more with one edit of tolerance, so that a misspelled name is still found.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import ahocorasick
from rapidfuzz import process
from rapidfuzz.distance import OSA

from kb.items import Item, Schema
from kb.words import Word, spoken, stems, words

NameKind = Literal["table", "column", "value", "entity"]
FUZZY_MIN_LETTERS = 5
_SPELLED_RIGHT = frozenset(
    "about above after again along among array based before being below between both could different during either "
    "every first found given great having highest large least lowest might never other over people should show "
    "since small still their them there these those three through under until using value where whether which "
    "while whole whose without would years".split()
)
"""Everyday words of a question that are one letter from many a column (`there`, `theme`)."""


@dataclass(frozen=True, slots=True)
class Name:
    """A name and what it stands for: `canonical` is one spelling for all its synonyms; `owner` is an item id."""

    surface: str
    canonical: str
    kind: NameKind
    owner: str


@dataclass(frozen=True, slots=True)
class Mention:
    """A stretch of the question (`start`, `end`: characters) that is a name of one or several items."""

    surface: str
    start: int
    end: int
    names: tuple[Name, ...]
    fuzzy: bool = False

    @property
    def owners(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name.owner for name in self.names))

    @property
    def best(self) -> tuple[Name, ...]:
        """The names of the kind that a question most likely means."""
        rank = min(_RANK[name.kind] for name in self.names)
        return tuple(name for name in self.names if _RANK[name.kind] == rank)

    @property
    def is_value(self) -> bool:
        return all(name.kind == "value" for name in self.names)


_RANK: dict[NameKind, int] = {"entity": 0, "table": 1, "column": 2, "value": 3}


def names_of(item: Item) -> list[Name]:
    """Every name by which a question may speak of the item."""
    found = [
        Name(spelling, entity.name, "entity", item.id)
        for entity in item.entities
        for spelling in (entity.name, *entity.synonyms)
    ]
    if isinstance(item.body, Schema):
        found.append(Name(item.body.table, item.body.table, "table", item.id))
        for column in item.body.columns:
            found.append(Name(column.name, column.name, "column", item.id))
            found.extend(Name(value, value, "value", item.id) for value in column.samples if _is_name(value))
    return found


class EntityIndex:
    def __init__(self, items: Iterable[Item]) -> None:
        self._by_key: dict[str, list[Name]] = {}
        for item in items:
            for name in names_of(item):
                # As people say it, and as written: `orderDate` is one word of a question.
                as_written = " ".join(word.stem for word in words(name.surface))
                for key in {" ".join(stems(name.surface)), as_written} - {""}:
                    self._by_key.setdefault(key, []).append(name)
        self._automaton = ahocorasick.Automaton()
        for key in self._by_key:
            self._automaton.add_word(f" {key} ", key)
        if self._by_key:
            self._automaton.make_automaton()
        self._spellings = self._single_words()

    def find(self, question: str) -> list[Mention]:
        """Mentions in order; the longest of overlapping ones wins."""
        if not self._by_key:
            return []
        spoken_words = words(question)
        mentions = self._exact(question, spoken_words)
        covered = {at for mention in mentions for at in range(mention.start, mention.end)}
        for word in spoken_words:
            if word.start not in covered:
                mentions.extend(self._fuzzy(word))
        return sorted(mentions, key=lambda mention: mention.start)

    def _exact(self, question: str, found_words: Sequence[Word]) -> list[Mention]:
        text = " " + " ".join(word.stem for word in found_words) + " "
        starts = {0: 0}
        position = 0
        for index, word in enumerate(found_words):
            position += len(word.stem) + 1
            starts[position] = index + 1
        hits: list[tuple[int, int, str]] = []
        for last, key in self._automaton.iter(text):
            first = last - len(key) - 1
            hits.append((starts[first], starts[last], key))
        hits.sort(key=lambda hit: (hit[0] - hit[1], hit[0], hit[2]))
        taken: set[int] = set()
        mentions: list[Mention] = []
        for begin, stop, key in hits:
            if taken.isdisjoint(range(begin, stop)):
                taken.update(range(begin, stop))
                start, end = found_words[begin].start, found_words[stop - 1].end
                mentions.append(Mention(question[start:end], start, end, tuple(self._by_key[key])))
        return mentions

    def _fuzzy(self, word: Word) -> list[Mention]:
        if len(word.text) < FUZZY_MIN_LETTERS or word.text.isdigit() or word.text in _SPELLED_RIGHT:
            return []
        for spelling in (word.text, word.text.removesuffix("s")):
            found = process.extract(spelling, self._spellings.keys(), scorer=OSA.distance, score_cutoff=1, limit=None)
            near = [(distance, known) for known, distance, _ in found if known[0] == spelling[0]]
            if near:
                names = tuple(self._by_key[self._spellings[min(near)[1]]])
                return [Mention(word.text, word.start, word.end, names, fuzzy=True)]
        return []

    def _single_words(self) -> dict[str, str]:
        """Spelling → key, for the names of one word: as written and without a plural s."""
        found: dict[str, str] = {}
        for key, names in self._by_key.items():
            for name in names:
                written = spoken(name.surface)
                for spelling in (written, written.removesuffix("s")):
                    if " " not in spelling and len(spelling) >= FUZZY_MIN_LETTERS:
                        found.setdefault(spelling, key)
        return dict(sorted(found.items()))


def name_key(name: str) -> str:
    """One key for all spellings of a name, whatever their case, plural or separators."""
    return " ".join(stems(name))


def _is_name(value: str) -> bool:
    """Numbers, dates and long texts are values, but nobody calls anything by them."""
    return len(value) <= 60 and not any(character.isdigit() for character in value)
