"""Entity detection: which names of a commit occur in a question, by their stems (`kb/name_index.py` holds them).

Names are tables, columns, sampled values and the entities that items declare, with synonyms. A word that no name
covers and that is no everyday word may be a slip: it is read as each word of a name that is one edit away, and counts
if a name then stands there. So one word of a long name may be misspelled, and a space may be missing or one too many.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from kb.dictionary import common_words, everyday_words, inflections
from kb.items import Item, Schema
from kb.words import Word, singular, spoken, stem, stems, words

if TYPE_CHECKING:
    from kb.name_index import NameIndex

NameKind = Literal["table", "column", "value", "entity"]
FUZZY_MIN_LETTERS = 3
"""A shorter word is one edit from too many others."""
VALUE_MIN_LETTERS = 5
"""The same of sampled values, of which there are many more than names."""
LONGEST_NAME = 8
"""Words; a misspelled word is looked for in names of at most so many."""
_QUOTED = re.compile(r"\"[^\"]+\"|“[^”]+”|(?<!\w)'[^']+'(?!\w)")


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """A name and what it stands for: `canonical` is one spelling for all its synonyms. Several items may have it."""

    surface: str
    canonical: str
    kind: NameKind


@dataclass(frozen=True, slots=True)
class Mention:
    """A stretch of the question (`start`, `end`: characters) that is a name of one or several items.

    `owners` are the slots of these items in the index, ascending, each once; `owners_of` has those of each name.
    `readings` says of a misspelled word, by its stem, which stems it was read as; a mention without is as written.
    """

    surface: str
    start: int
    end: int
    names: tuple[Name, ...]
    owners: NDArray[np.int32] = field(compare=False)
    owners_of: Mapping[Name, NDArray[np.int32]] = field(compare=False)
    readings: tuple[tuple[str, str], ...] = ()

    @property
    def fuzzy(self) -> bool:
        return bool(self.readings)

    def owners_by(self, kind: NameKind) -> NDArray[np.int32]:
        """Slots of the items that have a name of this kind, ascending, each once."""
        return _together([slots for name, slots in self.owners_of.items() if name.kind == kind])

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
            found.extend(Name(value, value, "value") for value in (*column.samples, *column.values) if is_name(value))
    return found


class EntityIndex:
    """Finds the names of one commit: of those items in `names` whose slot is true in `members`."""

    def __init__(self, names: NameIndex, members: NDArray[np.bool_]) -> None:
        self._names, self._members = names, members

    def find(self, question: str) -> list[Mention]:
        """Mentions in order; the longest of overlapping ones wins."""
        said = words(question)
        mentions = self._exact(question, said)
        misspelled = self._misspelled(question, said, mentions)
        kept = [mention for mention in mentions if not any(_overlap(mention, other) for other in misspelled)]
        return sorted([*kept, *misspelled], key=lambda mention: mention.start)

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
        hits += self._respaced(found_words)
        hits.sort(key=lambda hit: (hit[0] - hit[1], hit[0], hit[2]))
        taken: set[int] = set()
        mentions: list[Mention] = []
        for begin, stop, key in hits:
            if taken.isdisjoint(range(begin, stop)) and (owners := self.owners(key)):
                taken.update(range(begin, stop))
                start, end = found_words[begin].start, found_words[stop - 1].end
                mentions.append(_mention(question[start:end], start, end, owners))
        return mentions

    def _respaced(self, said: Sequence[Word]) -> Iterator[tuple[int, int, str]]:
        """First word, end and key of names that are written with a space more or less: `media type`, `mediatype`."""
        for begin in range(len(said)):
            for reading in self._names.readings(said[begin].text, edits=0):
                if " " in reading:
                    yield begin, begin + 1, reading
            if begin + 1 < len(said):
                for reading in self._names.readings(said[begin].text + said[begin + 1].text, edits=0):
                    yield begin, begin + 2, reading

    def _misspelled(self, question: str, said: Sequence[Word], exact: Sequence[Mention]) -> list[Mention]:
        """At each word that may be a slip, alone or with the next: the longest names that it may be a word of."""
        taken = [(mention.start, mention.end) for mention in exact]
        taken += quoted(question)
        free = [not any(start <= word.start < end for start, end in taken) for word in said]
        doubtful = [is_free and may_be_misspelled(word.text) for is_free, word in zip(free, said, strict=True)]
        mentions: list[Mention] = []
        # Alone first: `the ame` is `the name` rather than `theme`.
        for width in (1, 2):
            for place in range(len(said) - width + 1):
                read = said[place : place + width]
                if not any(doubtful[place : place + width]) or any(_covers(m, word) for m in mentions for word in read):
                    continue
                found = self._read(question, said, place, width)
                if found is not None and not any(_overlap(found, other) for other in mentions):
                    mentions.append(found)
        return mentions

    def _read(self, question: str, said: Sequence[Word], place: int, width: int) -> Mention | None:
        written = "".join(_plain(word.text) for word in said[place : place + width])
        # A word that there is may be a slip where the rest of a name stands beside it: `last nam`.
        is_word = all(_plain(word.text) in everyday_words() for word in said[place : place + width])
        longest, owners = (0, 0), dict[Name, NDArray[np.int32]]()
        readings: dict[str, None] = {}
        for reading in self._names.readings(written, edits=1):
            for begin, stop, key in self._around(said, place, width, reading.split()):
                named = self.owners(key)
                if not named or (begin - stop, begin) > (longest[0] - longest[1], longest[0]):
                    continue
                if is_word and stop - begin == width:
                    continue
                if (begin, stop) != longest:
                    longest, owners, readings = (begin, stop), {}, {}
                owners.update(named)
                readings[reading] = None
        if not owners:
            return None
        start, end = said[longest[0]].start, said[longest[1] - 1].end
        stems_read = tuple((said[place].stem, stem) for reading in readings for stem in reading.split())
        return _mention(question[start:end], start, end, owners, stems_read)

    def _around(
        self, said: Sequence[Word], place: int, width: int, reading: Sequence[str]
    ) -> Iterator[tuple[int, int, str]]:
        """First word, end and key of the names that stand at `place` where its `width` words are read as `reading`."""
        first = max(0, place - LONGEST_NAME)
        before = [word.stem for word in said[first:place]]
        after = [word.stem for word in said[place + width : place + width + LONGEST_NAME]]
        text = " " + " ".join([*before, *reading, *after]) + " "
        position = 0
        for begin, word in enumerate([*before, *reading]):
            for key in self._names.starting(text, position):
                stop = begin + key.count(" ") + 1
                if begin < len(before) + len(reading) and stop > len(before):
                    past = max(0, stop - len(before) - len(reading))
                    yield first + min(begin, len(before)), place + width + past, key
            position += len(word) + 1


def quoted(question: str) -> list[tuple[int, int]]:
    """Start and end, in characters, of what stands in quotes: it is meant as it stands."""
    return [match.span() for match in _QUOTED.finditer(question)]


def may_be_misspelled(word: str) -> bool:
    """Whether a lower-case word, if no name covers it, may be a slip rather than what it says."""
    plain = _plain(word)
    return len(plain) >= FUZZY_MIN_LETTERS and plain.isalpha() and plain not in common_words()


def _plain(word: str) -> str:
    return word.replace("’", "'").removesuffix("'s")


def _covers(mention: Mention, word: Word) -> bool:
    return mention.start <= word.start < mention.end


def _overlap(one: Mention, other: Mention) -> bool:
    return one.start < other.end and other.start < one.end


def _together(slots: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
    if len(slots) == 1:
        return slots[0]
    return np.unique(np.concatenate([np.zeros(0, dtype=np.int32), *slots]))


def among(slots: NDArray[np.int32], members: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Those of the ascending `slots` that are members; slots that were added after `members` was made are none."""
    if len(slots) and slots[-1] >= len(members):
        slots = slots[: np.searchsorted(slots, len(members))]
    return slots[members[slots]]


def _mention(
    surface: str,
    start: int,
    end: int,
    owners: Mapping[Name, NDArray[np.int32]],
    readings: tuple[tuple[str, str], ...] = (),
) -> Mention:
    return Mention(surface, start, end, tuple(owners), _together([*owners.values()]), owners, readings)


@lru_cache(maxsize=65536)
def keys_of(surface: str) -> tuple[str, ...]:
    """As people say it, and as written: `orderDate` is one word of a question."""
    as_written = " ".join(word.stem for word in words(surface))
    return tuple(sorted({" ".join(stems(surface)), as_written} - {""}))


@lru_cache(maxsize=65536)
def spellings_of(surface: str, kind: NameKind) -> tuple[tuple[str, str], ...]:
    """How a word of the name may be spelled, and the stems that this stands for; the whole name without spaces, too."""
    said = spoken(surface).split()
    least = VALUE_MIN_LETTERS if kind == "value" else FUZZY_MIN_LETTERS
    found = [(form, stem(word)) for word in said for form in _forms(word)]
    if len(said) > 1 and kind != "value":
        key = " ".join(map(stem, said))
        found += [("".join((*said[:-1], form)), key) for form in _forms(said[-1])]
    return tuple(dict.fromkeys((form, reading) for form, reading in found if len(form) >= least and form.isalpha()))


@lru_cache(maxsize=65536)
def _forms(word: str) -> tuple[str, ...]:
    """The word, its singular and plural, and the everyday words of its stem."""
    alike = (form for form in (word, singular(word), *inflections(stem(word))) if stem(form) == stem(word))
    plural = f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"
    return tuple(dict.fromkeys((*alike, plural)))


@lru_cache(maxsize=65536)
def name_key(name: str) -> str:
    """One key for all spellings of a name, whatever their case, plural or separators."""
    return " ".join(stems(name))


def is_name(value: str) -> bool:
    """Numbers, dates and long texts are values, but nobody calls anything by them."""
    return len(value) <= 60 and not any(character.isdigit() for character in value)
