"""Which column of one result can be which of another, cell by cell within a numeric tolerance.

Columns of whole numbers are compared exactly: a count of 1,000,001 is not 1,000,000. The tolerance is for columns
with fractions, where a sum's last digits depend on the order of its rows. Numbers written as text (a database's
exact decimals) are numbers beside a column of numbers, or where they have more digits than a double.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from gateway.datasource import ResultTable

RELATIVE_TOLERANCE = 1e-6
ABSOLUTE_TOLERANCE = 1e-9
_DOUBLE_DIGITS = 15
_EXACT_WHOLE = 2**53

_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d{1,3})?\Z")

Cells = Sequence[object]
Keys = tuple[int, ...]
ColumnType = Literal["number", "text", "mixed", "null"]


@dataclass(frozen=True, slots=True)
class ColumnPair:
    """Two columns' cells as keys: within the pair, equal keys are equal cells."""

    expected: Keys
    actual: Keys

    @property
    def holds_the_same(self) -> bool:
        """Whether both hold the same cells, in any order."""
        return Counter(self.expected) == Counter(self.actual)


def column(table: ResultTable, index: int) -> tuple[object, ...]:
    return tuple(row[index] for row in table.rows)


def column_type(cells: Cells) -> ColumnType:
    """`null` where there is no other value."""
    kinds = {"number" if isinstance(cell, bool | int | float) else "text" for cell in cells if cell is not None}
    if len(kinds) > 1:
        return "mixed"
    return kinds.pop() if kinds else "null"  # type: ignore[return-value]


def pair_columns(expected: Cells, actual: Cells) -> ColumnPair:
    """Give equal cells of both columns one key."""
    both = (*expected, *actual)
    beside_numbers = any(isinstance(cell, bool | int | float) for cell in both)
    values = [_value(cell, beside_numbers) for cell in both]
    keys = _keys(values)
    coded = tuple(keys[value] for value in values)
    return ColumnPair(coded[: len(expected)], coded[len(expected) :])


_Value = tuple[Literal["null", "text", "number"], object]


def _value(cell: object, beside_numbers: bool) -> _Value:
    if cell is None:
        return "null", None
    if isinstance(cell, str):
        digits = sum(map(str.isdigit, cell))
        if _NUMBER.match(cell) and (beside_numbers or digits > _DOUBLE_DIGITS):
            return "number", Decimal(cell)
        return "text", cell
    if isinstance(cell, float):
        return "number", Decimal(cell)
    assert isinstance(cell, int), "a result holds None, bool, int, float and str"
    return "number", Decimal(int(cell))


def _keys(values: Sequence[_Value]) -> dict[_Value, int]:
    keys: dict[_Value, int] = {}
    for value in values:
        if value[0] != "number":
            keys.setdefault(value, len(keys))
    numbers = sorted(number for kind, number in set(values) if kind == "number" and isinstance(number, Decimal))
    exact = all(_is_whole(number) for number in numbers)
    anchor: Decimal | None = None
    key = len(keys)
    for number in numbers:
        # All of a key lie within the tolerance of its least, so that a dense column does not run together.
        if anchor is None or exact or number - anchor > _tolerance(anchor, number):
            anchor, key = number, key + 1
        keys["number", number] = key
    return keys


def _is_whole(number: Decimal) -> bool:
    return abs(number) < _EXACT_WHOLE and number == number.to_integral_value()


def _tolerance(left: Decimal, right: Decimal) -> Decimal:
    return max(Decimal(str(RELATIVE_TOLERANCE)) * max(abs(left), abs(right)), Decimal(str(ABSOLUTE_TOLERANCE)))
