"""Whether two result tables are the same answer, as text-to-SQL benchmarks judge it, and if not, why.

Execution match: rows as a multiset, their order only where the question asks for one, names and order of columns
free. Sources: Yu et al. 2018 (Spider), Zhong et al. 2020 (its test-suite evaluation, from which the free columns),
Li et al. 2023 (BIRD, which compares sets of rows; here a row that comes twice must come twice).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from evals.column_match import Pairs, SearchGaveUp, match_columns
from evals.column_pairs import column_type
from gateway.counted import counted
from gateway.datasource import ResultTable

Reason = Literal[
    "EMPTY_RESULT",
    "RESULT_MISSING_ROWS",
    "RESULT_EXTRA_ROWS",
    "RESULT_MISSING_COLUMNS",
    "RESULT_EXTRA_COLUMNS",
    "SINGLE_CELL_DIFFERENCE",
    "COLUMN_TYPE_DIFFERENCE",
    "ROW_ORDER_DIFFERENCE",
    "RESULT_TRUNCATED",
    "RESULT_AMBIGUOUS",
    "EXECUTION_ERROR",
    "NOT_SQL",
]
Outcome = Literal["equal", "different", "undecided"]

_NEAREST: tuple[Reason, ...] = (
    "ROW_ORDER_DIFFERENCE",
    "SINGLE_CELL_DIFFERENCE",
    "COLUMN_TYPE_DIFFERENCE",
    "RESULT_EXTRA_ROWS",
    "RESULT_MISSING_ROWS",
    "RESULT_EXTRA_COLUMNS",
    "RESULT_MISSING_COLUMNS",
    "EMPTY_RESULT",
)
"""Of several accepted answers, the difference to the one that comes nearest is told."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """`reason` is `None` for equal results. Undecided: at least one result is not whole, or the search gave up."""

    outcome: Outcome
    reason: Reason | None = None
    detail: str = ""


EQUAL = Comparison("equal")


def compare_with_any(accepted: Sequence[ResultTable], actual: ResultTable, *, ordered: bool = False) -> Comparison:
    """Equal if any accepted result is; different only if every one is. `accepted` is not empty."""
    comparisons = [compare(expected, actual, ordered=ordered) for expected in accepted]
    for outcome in ("equal", "undecided"):
        if (first := next((c for c in comparisons if c.outcome == outcome), None)) is not None:
            return first
    return min(comparisons, key=lambda c: _NEAREST.index(c.reason) if c.reason in _NEAREST else len(_NEAREST))


def compare(expected: ResultTable, actual: ResultTable, *, ordered: bool = False) -> Comparison:
    if expected.rows and not actual.rows:
        return Comparison("different", "EMPTY_RESULT", f"no row came; {counted(len(expected.rows), 'row')} expected")
    if len(actual.columns) != len(expected.columns):
        return _column_count(expected, actual)
    cut = _truncated(expected, actual)
    if cut is not None:
        return cut
    pairs = Pairs(expected, actual)
    try:
        match = match_columns(expected, actual, pairs, ordered=ordered)
        if match is None and ordered and match_columns(expected, actual, pairs, ordered=False) is not None:
            return Comparison("different", "ROW_ORDER_DIFFERENCE", "the right rows, in another order")
    except SearchGaveUp:
        detail = "too many columns hold the same cells to tell which is which; select fewer columns in the case"
        return Comparison("undecided", "RESULT_AMBIGUOUS", detail)
    return EQUAL if match is not None else _difference(expected, actual, pairs)


def _truncated(expected: ResultTable, actual: ResultTable) -> Comparison | None:
    """A result that was cut has more rows than were fetched, which tells it from a shorter one. It never is equal."""
    if not expected.truncated and not actual.truncated:
        return None
    if actual.truncated and not expected.truncated and len(actual.rows) >= len(expected.rows):
        detail = f"more than {counted(len(actual.rows), 'row')} came; {len(expected.rows)} expected"
        return Comparison("different", "RESULT_EXTRA_ROWS", detail)
    if expected.truncated and not actual.truncated and len(expected.rows) >= len(actual.rows):
        detail = f"{counted(len(actual.rows), 'row')} came; more than {len(expected.rows)} expected"
        return Comparison("different", "RESULT_MISSING_ROWS", detail)
    fetched = min(len(table.rows) for table in (expected, actual) if table.truncated)
    more = "aggregate in the case, or raise the datasource's max_rows"
    detail = f"only the first {counted(fetched, 'row')} were fetched; {more}"
    return Comparison("undecided", "RESULT_TRUNCATED", detail)


def _column_count(expected: ResultTable, actual: ResultTable) -> Comparison:
    reason: Reason = "RESULT_EXTRA_COLUMNS" if len(actual.columns) > len(expected.columns) else "RESULT_MISSING_COLUMNS"
    detail = f"columns {_named(actual.columns)} came; {_named(expected.columns)} expected"
    return Comparison("different", reason, detail)


def _difference(expected: ResultTable, actual: ResultTable, pairs: Pairs) -> Comparison:
    pairing = _likely_pairing(expected, actual, pairs)
    for left, right in pairing:
        types = column_type(pairs.expected[left]), column_type(pairs.actual[right])
        if set(types) == {"number", "text"} and not pairs[left, right].holds_the_same:
            detail = f"column '{actual.columns[right]}' holds {types[1]}; {types[0]} expected"
            return Comparison("different", "COLUMN_TYPE_DIFFERENCE", detail)
    left_rows, right_rows = pairs.rows(pairing)
    missing, extra = Counter(left_rows) - Counter(right_rows), Counter(right_rows) - Counter(left_rows)
    if missing.total() == 1 and extra.total() == 1:
        wanted, found = next(iter(missing)), next(iter(extra))
        cells = [place for place in range(len(pairing)) if wanted[place] != found[place]]
        if len(cells) == 1:
            left, right = pairing[cells[0]]
            value = pairs.expected[left][left_rows.index(wanted)]
            got = pairs.actual[right][right_rows.index(found)]
            detail = f"column '{actual.columns[right]}' holds {got!r}; {value!r} expected"
            return Comparison("different", "SINGLE_CELL_DIFFERENCE", detail)
    counts = f"{counted(len(actual.rows), 'row')} came, {len(expected.rows)} expected"
    if missing:
        detail = f"{counts}: {missing.total()} expected missing, {extra.total()} others instead"
        return Comparison("different", "RESULT_MISSING_ROWS", detail)
    assert extra, "rows that agree under some pairing are no difference"
    return Comparison("different", "RESULT_EXTRA_ROWS", f"{counts}: {extra.total()} too many")


def _likely_pairing(expected: ResultTable, actual: ResultTable, pairs: Pairs) -> list[tuple[int, int]]:
    """The columns that most likely mean the same: of the same cells, else of one name, else in the same place."""
    pairing: dict[int, int] = {}

    def take(fits: Callable[[int, int], bool]) -> None:
        for left in range(len(expected.columns)):
            for right in range(len(actual.columns)):
                if left not in pairing and right not in pairing.values() and fits(left, right):
                    pairing[left] = right

    take(lambda left, right: pairs[left, right].holds_the_same and left == right)
    take(lambda left, right: pairs[left, right].holds_the_same)
    take(lambda left, right: expected.columns[left].casefold() == actual.columns[right].casefold())
    take(lambda left, right: left == right)
    take(lambda _left, _right: True)
    return sorted(pairing.items())


def _named(columns: Sequence[str]) -> str:
    return ", ".join(columns)
