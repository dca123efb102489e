"""The search for a pairing of columns under which two results hold the same rows.

Names mean nothing, so any permutation may be the right one: 12 columns have 479 million. Only columns that hold the
same cells are paired, the rarest first, and a pairing is dropped as soon as the rows of the columns paired so far
differ. What is left is a handful, but for tables made to be hard; there the search gives up and says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evals.column_pairs import ColumnPair, column, pair_columns
from gateway.datasource import ResultTable

MAX_STEPS = 3_000
Rows = tuple[tuple[int, ...], ...]


class SearchGaveUp(Exception):
    """More pairings were possible than are worth trying."""


@dataclass(frozen=True, slots=True)
class ColumnMatch:
    """`pairing[i]` is the actual column that is expected column i. `in_order`: the rows stand in the same order."""

    pairing: tuple[int, ...]
    in_order: bool


class Pairs:
    """The pairs of columns of two tables, each made when it is first asked for."""

    def __init__(self, expected: ResultTable, actual: ResultTable) -> None:
        self.expected = [column(expected, index) for index in range(len(expected.columns))]
        self.actual = [column(actual, index) for index in range(len(actual.columns))]
        self._pairs: dict[tuple[int, int], ColumnPair] = {}

    def __getitem__(self, pair: tuple[int, int]) -> ColumnPair:
        if pair not in self._pairs:
            self._pairs[pair] = pair_columns(self.expected[pair[0]], self.actual[pair[1]])
        return self._pairs[pair]

    def rows(self, pairing: Sequence[tuple[int, int]]) -> tuple[Rows, Rows]:
        """Both tables' rows as keys of the paired columns alone."""
        expected = zip(*(self[pair].expected for pair in pairing), strict=True)
        actual = zip(*(self[pair].actual for pair in pairing), strict=True)
        return tuple(expected), tuple(actual)


def match_columns(expected: ResultTable, actual: ResultTable, pairs: Pairs, *, ordered: bool) -> ColumnMatch | None:
    """A pairing under which both hold the same rows as often, in the same order if asked; `None` where there is none.

    Raises `SearchGaveUp`.
    """
    if len(expected.columns) != len(actual.columns) or len(expected.rows) != len(actual.rows):
        return None
    found = _search(expected, actual, pairs, lambda left, right: left == right)
    if found is not None:
        return ColumnMatch(found, in_order=True)
    if ordered:
        return None
    found = _search(expected, actual, pairs, lambda left, right: Counter(left) == Counter(right))
    return ColumnMatch(found, in_order=False) if found is not None else None


def _search(
    expected: ResultTable, actual: ResultTable, pairs: Pairs, same: Callable[[Rows, Rows], bool]
) -> tuple[int, ...] | None:
    size = len(expected.columns)
    candidates = [_candidates(index, expected, actual, pairs) for index in range(size)]
    order = sorted(range(size), key=lambda index: len(candidates[index]))
    steps = 0

    def extend(pairing: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...] | None:
        nonlocal steps
        if len(pairing) == size:
            return pairing
        index = order[len(pairing)]
        tried: set[tuple[object, ...]] = set()
        for other in candidates[index]:
            # Columns of the same cells in the same rows are interchangeable: one of them stands for all.
            if other in {taken for _, taken in pairing} or pairs.actual[other] in tried:
                continue
            tried.add(pairs.actual[other])
            steps += 1
            if steps > MAX_STEPS:
                raise SearchGaveUp
            longer = (*pairing, (index, other))
            if same(*pairs.rows(longer)) and (found := extend(longer)) is not None:
                return found
        return None

    found = extend(())
    return tuple(other for _, other in sorted(found)) if found is not None else None


def _candidates(index: int, expected: ResultTable, actual: ResultTable, pairs: Pairs) -> list[int]:
    """Actual columns that hold the same cells, the namesake and the one in the same place first."""
    name = expected.columns[index].casefold()
    fitting = [other for other in range(len(actual.columns)) if pairs[index, other].holds_the_same]
    return sorted(fitting, key=lambda other: (actual.columns[other].casefold() != name, other != index, other))
