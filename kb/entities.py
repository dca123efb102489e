"""Entity detection: which names of a commit occur in a question, by their stems (`kb/name_index.py` holds them).

Names are tables, columns, sampled values and the entities that items declare, with synonyms. A word that no name
covers is matched once more with one edit of tolerance, so that a misspelled name is still found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from kb.items import Item, Schema
from kb.words import Word, spoken, stems, words

if TYPE_CHECKING:
    from kb.name_index import NameIndex

NameKind = Literal["table", "column", "value", "entity"]
FUZZY_MIN_LETTERS = 5
_SPELLED_RIGHT = frozenset(
    "about above after again along among array based before being below between both could different during either "
    "every first found given great having highest large least lowest might never other over people should show "
    "since small still their them there these those three through under until using value where whether which "
    "while whole whose without would years".split()
)
"""Everyday words of a question that are one letter from many a column (`there`, `theme`)."""


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """A name and what it stands for: `canonical` is one spelling for all its synonyms. Several items may have it."""

    surface: str
    canonical: str
    kind: NameKind


@dataclass(frozen=True, slots=True)
class Mention:
    """A stretch of the question (`start`, `end`: characters) that is a name of one or several items.

    `owners` are the slots of these items in the index, ascending, each once.
    """

    surface: str
    start: int
    end: int
    names: tuple[Name, ...]
    owners: NDArray[np.int32] = field(compare=False)
    fuzzy: bool = False

    @property
    def shown(self) -> str:
        """As a reason says it."""
        return f"'{self.surface}'" + (" (misspelled)" if self.fuzzy else "")

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
        Name(spelling, entity.name, "entity")
        for entity in item.entities
        for spelling in (entity.name, *entity.synonyms)
    ]
    if isinstance(item.body, Schema):
        found.append(Name(item.body.table, item.body.table, "table"))
        for column in item.body.columns:
            found.append(Name(column.name, column.name, "column"))
            found.extend(Name(value, value, "value") for value in column.samples if _is_name(value))
    return found


class EntityIndex:
    """Finds the names of one commit: of those items in `names` whose slot is true in `members`."""

    def __init__(self, names: NameIndex, members: NDArray[np.bool_]) -> None:
        self._names, self._members = names, members

    def find(self, question: str) -> list[Mention]:
        """Mentions in order; the longest of overlapping ones wins."""
        spoken_words = words(question)
        mentions = self._exact(question, spoken_words)
        covered = {at for mention in mentions for at in range(mention.start, mention.end)}
        for word in spoken_words:
            if word.start not in covered:
                mentions.extend(self._fuzzy(word))
        return sorted(mentions, key=lambda mention: mention.start)

    def owners(self, key: str) -> dict[Name, NDArray[np.int32]]:
        """The names of a key at this commit, in order, with the slots of the items that they are names of."""
        found = ((name, among(owners.values, self._members)) for name, owners in self._names.owners(key).items())
        return dict(sorted((name, slots) for name, slots in found if len(slots)))

    def _exact(self, question: str, found_words: Sequence[Word]) -> list[Mention]:
        text = " " + " ".join(word.stem for word in found_words) + " "
        hits: list[tuple[int, int, str]] = []
        position = 0
        for begin, word in enumerate(found_words):
            for key in self._names.starting(text, position):
                hits.append((begin, begin + key.count(" ") + 1, key))
            position += len(word.stem) + 1
        hits.sort(key=lambda hit: (hit[0] - hit[1], hit[0], hit[2]))
        taken: set[int] = set()
        mentions: list[Mention] = []
        for begin, stop, key in hits:
            if taken.isdisjoint(range(begin, stop)) and (owners := self.owners(key)):
                taken.update(range(begin, stop))
                start, end = found_words[begin].start, found_words[stop - 1].end
                mentions.append(_mention(question[start:end], start, end, owners))
        return mentions

    def _fuzzy(self, word: Word) -> list[Mention]:
        if len(word.text) < FUZZY_MIN_LETTERS or word.text.isdigit() or word.text in _SPELLED_RIGHT:
            return []
        for spelling in (word.text, word.text.removesuffix("s")):
            for _, known in self._names.near(spelling):
                owners = self._spelled(known) if known[0] == spelling[0] else {}
                if owners:
                    return [_mention(word.text, word.start, word.end, owners, fuzzy=True)]
        return []

    def _spelled(self, spelling: str) -> dict[Name, NDArray[np.int32]]:
        """The names of the first key that is spelled so by a name of this commit."""
        for key in self._names.keys_spelled(spelling):
            owners = self.owners(key)
            if any(spelling in spellings_of(name.surface) for name in owners):
                return owners
        return {}


def among(slots: NDArray[np.int32], members: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Those of the ascending `slots` that are members; slots that were added after `members` was made are none."""
    if len(slots) and slots[-1] >= len(members):
        slots = slots[: np.searchsorted(slots, len(members))]
    return slots[members[slots]]


def _mention(
    surface: str, start: int, end: int, owners: Mapping[Name, NDArray[np.int32]], *, fuzzy: bool = False
) -> Mention:
    slots = next(iter(owners.values())) if len(owners) == 1 else np.unique(np.concatenate(list(owners.values())))
    return Mention(surface, start, end, tuple(owners), slots, fuzzy)


@lru_cache(maxsize=65536)
def keys_of(surface: str) -> tuple[str, ...]:
    """As people say it, and as written: `orderDate` is one word of a question."""
    as_written = " ".join(word.stem for word in words(surface))
    return tuple(sorted({" ".join(stems(surface)), as_written} - {""}))


def spellings_of(surface: str) -> tuple[str, ...]:
    """The spellings by which a misspelled word finds a name: one word, as written and without a plural s."""
    written = spoken(surface)
    if " " in written:
        return ()
    either = dict.fromkeys((written, written.removesuffix("s")))
    return tuple(spelling for spelling in either if len(spelling) >= FUZZY_MIN_LETTERS)


@lru_cache(maxsize=65536)
def name_key(name: str) -> str:
    """One key for all spellings of a name, whatever their case, plural or separators."""
    return " ".join(stems(name))


def _is_name(value: str) -> bool:
    """Numbers, dates and long texts are values, but nobody calls anything by them."""
    return len(value) <= 60 and not any(character.isdigit() for character in value)
