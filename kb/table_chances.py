"""How likely a question needs a table: the chance that it is about the table's database, times the table's in there.

Questions are mostly about one database. Its tables support each other: each speaks for it as loudly as it fits, so a
database weighs as much as its tables together (a softmax over the log of summed odds), and more if its names cover the
question's words. Within the database, tables are judged beside its best one and by what they are joined with.
The weights are fitted by `kvasir bench weights` on questions about other databases than those of the benchmark.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kb.name_words import Scores, WordEvidence

SHORTLISTED = 24
"""Tables for which joins are looked up; what is below that without its neighbours does not rise by them."""

GRAINS = 2.0**36
"""Odds are counted in so many parts of the loudest table's: a database of 2**17 tables still has an exact sum."""


@dataclass(frozen=True, slots=True)
class DatabaseWeights:
    """What makes a table speak for its database, and `coverage`, which is the database's own."""

    cosine: float = 11.1
    own: float = 0.783
    columns: float = 0.336
    whole: float = 0.718
    value: float = 0.689
    coverage: float = 0.225


@dataclass(frozen=True, slots=True)
class TableWeights:
    """What makes a table needed, given its database. `cosine`, `words` and `own` count beside the database's best.

    `neighbour`: the best `own` of the tables it is joined with. `joins`: log(1 + how many those are). `size`: log of
    the tables of the database.
    """

    cosine: float = 7.71
    words: float = 1.19
    own: float = 0.174
    share: float = 1.06
    whole: float = 0.408
    column: float = 0.255
    value: float = 0.26
    size: float = -1.04
    bias: float = 1.07
    neighbour: float = 0.111
    joins: float = 0.214


# What `astuple` gives; that copies, which takes longer than what is done with it.
_of_database = attrgetter(*(weight.name for weight in fields(DatabaseWeights)))
_of_table = attrgetter(*(weight.name for weight in fields(TableWeights)))


@dataclass(frozen=True, slots=True)
class ChanceWeights:
    database: DatabaseWeights = field(default_factory=DatabaseWeights)
    table: TableWeights = field(default_factory=TableWeights)


@dataclass(frozen=True, slots=True)
class TableEvidence:
    """One entry a table: `database` is its database's number, `words` BM25 as a share of the best.

    `column`, `value`: rarities of its columns' names, and of its values, that the question says whole. `neighbours`
    gives the tables that one is joined with.
    """

    database: NDArray[np.int32]
    cosine: Scores
    words: Scores
    names: WordEvidence
    column: Scores
    value: Scores
    neighbours: Callable[[int], NDArray[np.int32]]


@dataclass(frozen=True, slots=True)
class Chances:
    """`table` has one entry a table, `database` that of its database; both are chances, from 0 to 1."""

    table: Scores
    database: Scores


def chances(evidence: TableEvidence, weights: ChanceWeights) -> Chances:
    if not len(evidence.database):
        return Chances(np.zeros(0), np.zeros(0))
    about = _database_chances(evidence, weights.database)[evidence.database]
    *own, neighbour, joins = _of_table(weights.table)
    logits = _weighted(own, table_features(evidence))
    likely = -about * _chance(logits)
    cut = min(SHORTLISTED, len(likely))
    for place in np.argpartition(likely, cut - 1)[:cut]:
        logits[place] += _weighted((neighbour, joins), join_features(evidence, int(place)))
    return Chances(about * _chance(logits), about)


def voice_features(evidence: TableEvidence) -> tuple[Scores, ...]:
    """What a table says for its database: in the order of `DatabaseWeights`, without `coverage`."""
    names = evidence.names
    return evidence.cosine, names.own, names.columns, names.whole, evidence.value


def table_features(evidence: TableEvidence) -> tuple[Scores, ...]:
    """In the order of `TableWeights`, without those of joins."""
    database, names = evidence.database, evidence.names
    judged = (evidence.cosine, evidence.words, names.own)
    cosine, words, own = (scores - best_of_each(scores, database)[database] for scores in judged)
    size = np.log(np.bincount(database)[database])
    even = np.ones(len(database))
    return cosine, words, own, names.share, names.whole, evidence.column, evidence.value, size, even


def join_features(evidence: TableEvidence, place: int) -> tuple[float, float]:
    """`neighbour` and `joins` of one table."""
    neighbours = evidence.neighbours(place)
    return float(evidence.names.own[neighbours].max(initial=0.0)), float(np.log1p(len(neighbours)))


def best_of_each(scores: Scores, database: NDArray[np.int32]) -> Scores:
    """The best score among each database's tables; -inf for a number that no table has."""
    best = np.full(int(database.max(initial=-1)) + 1, -np.inf)
    np.maximum.at(best, database, scores)
    return best


def _database_chances(evidence: TableEvidence, weights: DatabaseWeights) -> Scores:
    """One entry a database; they sum to 1."""
    database = evidence.database
    if (database == database[0]).all():
        return np.ones(int(database[0]) + 1)
    *own, coverage = _of_database(weights)
    voices = _weighted(own, voice_features(evidence))
    loudest = best_of_each(voices, database)
    # Whole numbers, so that the sum is exact and thus the same in every order of the tables.
    odds = np.rint(GRAINS * np.exp(voices - loudest[database]))
    summed = np.bincount(database, odds, minlength=len(loudest)) / GRAINS
    mass = np.full(len(loudest), -np.inf)
    present = np.isfinite(loudest)
    mass[present] = loudest[present] + np.log(summed[present]) + coverage * evidence.names.coverage[present]
    shares = np.exp(mass - mass.max())
    return np.asarray(shares / np.sort(shares).sum())


def _weighted(weights: Sequence[float], features: Sequence[Any]) -> Any:
    """Added one by one: a matrix product may round a table's score by its place."""
    return sum(weight * feature for weight, feature in zip(weights, features, strict=True))


def _chance(logits: Scores) -> Scores:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -60.0, 60.0))))
