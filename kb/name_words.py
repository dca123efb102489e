"""Word evidence for tables: which words of a question are words of a table's names or of its columns.

A name says more than a text, so its words are evidence of their own beside BM25. A word counts by its rarity among the
commit's tables. A word that no table of the commit has also stands for words that begin alike (`advises`, `advisor`),
and two words for their compound (`media type`, `mediatype`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kb.growing_array import GrowingArray
from kb.items import Item, Schema
from kb.words import spoken, stem, stems

Scores = NDArray[np.float64]

START_LETTERS = 4
"""Words that begin alike share this many letters at least; the known one may be as many letters longer."""
LOOSE = 0.6
"""The strength of a word that only begins alike."""
_KEPT_WORDS, _KEPT_PLACES = 1024, 256
"""Of so many words a commit keeps what they say; not of those that more names and tables have."""
_LONGEST = 40
"""Letters; a longer word is nobody's name."""
_NAME = np.dtype([("slot", np.int32), ("words", np.int32), ("key", np.int32)])


@dataclass(frozen=True, slots=True)
class Having:
    """Numbers of the names that have a word, and places of the tables whose columns have it; each once."""

    names: NDArray[np.int32]
    tables: NDArray[np.int32]

    def __bool__(self) -> bool:
        return bool(len(self.names) or len(self.tables))


@dataclass(frozen=True, slots=True)
class Spread:
    """What it says to have a word: its `names`, the `tables` that have it in their columns alone, and its rarity.

    `coverage` is its rarity among databases, of which `databases` have it.
    """

    names: NDArray[np.int32]
    tables: NDArray[np.int32]
    rarity: float
    databases: NDArray[np.int64]
    coverage: float


@dataclass(frozen=True, slots=True)
class Unit:
    """What one word of a question may stand for, and how surely: 1 where it is the word itself."""

    spread: Spread
    strength: float = 1.0


@dataclass(frozen=True, slots=True)
class WordEvidence:
    """One entry a candidate, 0 for what is no table; `coverage` has one entry a database.

    `own`: rarities of the question's words that are in the table's name, summed; `columns`: of those that are in its
    columns' names alone. `share`: how much of the table's name is in the question; `whole`: the rarity of a name that
    is there whole, else 0. `coverage`: rarities, among databases, of the words that any table of the database has.
    """

    own: Scores
    columns: Scores
    share: Scores
    whole: Scores
    coverage: Scores


def rarity(having: ArrayLike, of: int) -> Scores:
    """How much it says to be one of the `having`: about log(of / having), as in BM25."""
    count = np.asarray(having, dtype=np.float64)
    return np.log1p((of - count + 0.5) / (count + 0.5))


class NameWords:
    """Slots are added in ascending order, by one thread at a time; any may read."""

    def __init__(self) -> None:
        self._names: GrowingArray[np.void] = GrowingArray(_NAME)
        self._keys: dict[str, int] = {}
        self._own: dict[str, GrowingArray[np.int32]] = {}
        self._columns: dict[str, GrowingArray[np.int32]] = {}
        self._by_start: dict[str, list[str]] = {}

    def add(self, slot: int, item: Item) -> None:
        """Take up a table; other items are left out."""
        if not isinstance(item.body, Schema):
            return
        spellings = [item.body.table, *(name for e in item.entities for name in (e.name, *e.synonyms))]
        by_key = {" ".join(found): found for name in spellings if (found := stems(name))}
        for key, found in by_key.items():
            number = len(self._names)
            self._names.append((slot, len(set(found)), self._keys.setdefault(key, len(self._keys))))
            for word in dict.fromkeys(found):
                self._postings(self._own, word).append(number)
        for word in dict.fromkeys(word for column in item.body.columns for word in stems(column.name)):
            self._postings(self._columns, word).append(slot)

    def at(self, places: NDArray[np.int32], database: NDArray[np.int32]) -> WordsOfCommit:
        """`places` has the place of each slot's candidate, or a negative number; `database` is that of `Candidates`."""
        names = self._names.values
        here = names["slot"] < len(places)
        place_of = np.full(len(names), -1, dtype=np.int32)
        place_of[here] = places[names["slot"][here]]
        return WordsOfCommit(self, names, place_of, places, database)

    def with_word(self, word: str) -> tuple[NDArray[np.int32], NDArray[np.int32]] | None:
        """Numbers of the names, and slots of the tables by their columns, that have this stem; of all commits.

        `None` where none has it, which is so of most words of a question.
        """
        own, columns = self._own.get(word), self._columns.get(word)
        if own is None and columns is None:
            return None
        return (_NONE if own is None else own.values), (_NONE if columns is None else columns.values)

    def starting(self, start: str) -> Sequence[str]:
        """Stems that begin with these `START_LETTERS`."""
        return self._by_start.get(start, ())

    def _postings(self, postings: dict[str, GrowingArray[np.int32]], word: str) -> GrowingArray[np.int32]:
        if word not in self._own and word not in self._columns and len(word) >= START_LETTERS:
            self._by_start.setdefault(word[:START_LETTERS], []).append(word)
        return postings.setdefault(word, GrowingArray(np.int32))


_NONE = np.zeros(0, dtype=np.int32)
_NOBODY = Having(_NONE, _NONE)


class WordsOfCommit:
    """The words of one commit's tables. Made by `NameWords.at`; kept for as long as the commit's index."""

    def __init__(
        self,
        shared: NameWords,
        names: NDArray[np.void],
        place_of: NDArray[np.int32],
        places: NDArray[np.int32],
        database: NDArray[np.int32],
    ) -> None:
        self._shared, self._names, self._place_of, self._places = shared, names, place_of, places
        self._database = database
        self._tables = int((database >= 0).sum())
        self._databases = len(np.unique(database[database >= 0]))
        self._spreads: dict[str, Spread] = {}

    def evidence(self, question: str, readings: Mapping[str, Sequence[str]]) -> WordEvidence:
        """`readings`: stem of a misspelled word → the stems that it may stand for."""
        matched, words = np.zeros(len(self._names)), np.zeros(len(self._names), dtype=np.int32)
        columns = np.zeros(len(self._database))
        coverage = np.zeros(int(self._database.max(initial=-1)) + 1)
        for unit in self._units(question, readings):
            spread, strength = unit.spread, unit.strength
            matched[spread.names] += strength * spread.rarity
            words[spread.names] += 1
            columns[spread.tables] += strength * spread.rarity
            coverage[spread.databases] += strength * spread.coverage
        return self._of_tables(matched, words, columns, coverage)

    def _of_tables(self, matched: Scores, words: NDArray[np.int32], columns: Scores, coverage: Scores) -> WordEvidence:
        """A table that goes by several names counts by the one that fits best."""
        own, share, whole = (np.zeros(len(columns)) for _ in range(3))
        numbers = np.flatnonzero(words)
        places, shares = self._place_of[numbers], np.minimum(1.0, words[numbers] / self._names["words"][numbers])
        np.maximum.at(own, places, matched[numbers])
        np.maximum.at(share, places, shares)
        full = numbers[shares == 1.0]
        _, which, counts = np.unique(self._names["key"][full], return_inverse=True, return_counts=True)
        np.maximum.at(whole, self._place_of[full], rarity(counts, self._tables)[which])
        return WordEvidence(own, columns, share, whole, coverage)

    def _units(self, question: str, readings: Mapping[str, Sequence[str]]) -> Iterator[Unit]:
        said = spoken(question).split()
        distinct = dict.fromkeys(map(stem, said))
        for word in distinct:
            if known := self._known(word):
                yield Unit(known)
            elif having := self._having_any(readings.get(word, ())):
                yield Unit(self._spread(having))
            elif having := self._having_any(self._alike(word)):
                yield Unit(self._spread(having), LOOSE)
        compounds = dict.fromkeys(stem(left + right) for left, right in pairwise(said) if len(left + right) <= _LONGEST)
        for word in compounds:
            if word not in distinct and (known := self._known(word)):
                yield Unit(known)

    def _known(self, word: str) -> Spread | None:
        """Of a stem; `None` where no table of the commit has it."""
        known = self._spreads.get(word)
        if known is None and (having := self._having(word)):
            known = self._spread(having)
            if len(having.names) + len(having.tables) <= _KEPT_PLACES and len(self._spreads) < _KEPT_WORDS:
                self._spreads[word] = known
        return known

    def _spread(self, having: Having) -> Spread:
        own = np.zeros(len(self._database), dtype=np.bool_)
        own[self._place_of[having.names]] = True
        in_columns = having.tables[~own[having.tables]]
        covered = np.zeros(int(self._database.max(initial=-1)) + 1, dtype=np.bool_)
        covered[self._database[own]] = True
        covered[self._database[in_columns]] = True
        databases = np.flatnonzero(covered)
        return Spread(
            having.names,
            in_columns,
            float(rarity(int(own.sum()) + len(in_columns), self._tables)),
            databases,
            float(rarity(len(databases), self._databases)),
        )

    def _alike(self, word: str) -> Iterator[str]:
        """Words that begin with this one, or that this one begins with."""
        for known in self._shared.starting(word[:START_LETTERS]):
            longer = len(known) - len(word)
            if longer <= START_LETTERS and (known.startswith(word) if longer > 0 else word.startswith(known)):
                yield known

    def _having_any(self, words: Iterable[str]) -> Having:
        """Who has any of these stems."""
        found = [having for word in words if (having := self._having(word))]
        if len(found) <= 1:
            return found[0] if found else _NOBODY
        names = np.unique(np.concatenate([having.names for having in found]))
        return Having(names, np.unique(np.concatenate([having.tables for having in found])))

    def _having(self, word: str) -> Having:
        """Who has this stem at this commit."""
        found = self._shared.with_word(word)
        if found is None:
            return _NOBODY
        numbers, slots = found
        numbers = numbers[numbers < len(self._names)]
        numbers = numbers[self._place_of[numbers] >= 0]
        places = self._places[slots[slots < len(self._places)]]
        return Having(numbers, places[places >= 0])
