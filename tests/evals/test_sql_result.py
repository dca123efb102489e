"""Known answers for the comparison of result tables."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.sql_result import compare, compare_with_any
from gateway.datasource import ResultTable


def table(columns: str, *rows: tuple[object, ...], truncated: bool = False) -> ResultTable:
    return ResultTable(tuple(columns.split()), rows, truncated, 0.0)


COUNTRIES = table("country orders", ("DE", 12), ("FR", 7), ("FR", 7), (None, 1))

EQUAL = {
    "itself": (COUNTRIES, COUNTRIES),
    "rows in another order": (COUNTRIES, table("country orders", (None, 1), ("FR", 7), ("DE", 12), ("FR", 7))),
    "columns of other names": (COUNTRIES, table("c n", *COUNTRIES.rows)),
    "columns in another order": (COUNTRIES, table("n c", *((n, c) for c, n in COUNTRIES.rows))),
    "both at once": (COUNTRIES, table("n c", (7, "FR"), (1, None), (7, "FR"), (12, "DE"))),
    "names that mislead": (table("a b", (1, 2), (3, 4)), table("a b", (2, 1), (4, 3))),
    "whole floats and integers": (table("n", (12,)), table("n", (12.0,))),
    "booleans and 0 or 1": (table("n", (True,), (False,)), table("n", (1,), (0,))),
    "exact decimals as text": (table("n", (12.5,)), table("n", ("12.50",))),
    "long decimals of other scale": (
        table("n", ("4.3333333333333333",)),
        table("n", ("4.33333333333333333333",)),
    ),
    "a sum's last digits": (table("n", (0.1 + 0.2,)), table("n", (0.3,))),
    "a millionth of it": (table("n", (1000.5,)), table("n", (1000.5005,))),
    "noise in several columns": (
        table("a b c", ("x", 1.25, 2.5), ("y", 2.25, 3.5)),
        table("c b a", (3.5000000001, 2.2499999999, "y"), (2.5, 1.2500000001, "x")),
    ),
    "nothing and nothing": (table("a b"), table("c d")),
}


@pytest.mark.parametrize("name", EQUAL)
def test_the_same_answer_is_equal(name: str) -> None:
    expected, actual = EQUAL[name]

    assert compare(expected, actual).outcome == "equal"
    assert compare(actual, expected).outcome == "equal"


DIFFERENT = {
    "EMPTY_RESULT": (COUNTRIES, table("country orders")),
    "RESULT_MISSING_ROWS": (table("n", (1,), (2,), (3,)), table("n", (1,), (3,))),
    "RESULT_MISSING_ROWS, others instead": (table("a b", (1, "x"), (2, "y")), table("a b", (5, "u"), (6, "v"))),
    "RESULT_MISSING_ROWS, a row that comes twice": (table("n", (1,), (1,), (2,)), table("n", (1,), (2,))),
    "RESULT_EXTRA_ROWS": (table("n", (1,), (2,)), table("n", (1,), (2,), (3,))),
    "RESULT_EXTRA_ROWS, a row that comes once": (table("n", (1,), (2,)), table("n", (1,), (2,), (2,))),
    "RESULT_EXTRA_ROWS, where none belong": (table("n"), table("n", (1,))),
    "RESULT_EXTRA_COLUMNS": (table("n", (1,)), table("n m", (1, 2))),
    "RESULT_MISSING_COLUMNS": (table("n m", (1, 2)), table("n", (1,))),
    "SINGLE_CELL_DIFFERENCE": (table("a n", ("DE", 12), ("FR", 7)), table("a n", ("DE", 12), ("FR", 8))),
    "SINGLE_CELL_DIFFERENCE, in columns turned round": (
        table("a n", ("DE", 12), ("FR", 7)),
        table("n a", (12, "DE"), (8, "FR")),
    ),
    "SINGLE_CELL_DIFFERENCE, a large count by one": (table("n", (1_000_000,)), table("n", (1_000_001,))),
    "SINGLE_CELL_DIFFERENCE, more than a millionth": (table("n", (1000.5,)), table("n", (1000.502,))),
    "SINGLE_CELL_DIFFERENCE, null is not 0": (table("n", (None,)), table("n", (0,))),
    "SINGLE_CELL_DIFFERENCE, null is not empty text": (table("n", (None,)), table("n", ("",))),
    "SINGLE_CELL_DIFFERENCE, short text is text": (table("v", ("1.10",)), table("v", ("1.1",))),
    "COLUMN_TYPE_DIFFERENCE": (table("a n", ("x", 7), ("y", 8)), table("a n", ("x", "seven"), ("y", "eight"))),
    "COLUMN_TYPE_DIFFERENCE, leading zeros are text": (table("plz", ("01067",)), table("plz", (1067,))),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_each_difference_has_its_reason(name: str) -> None:
    expected, actual = DIFFERENT[name]

    comparison = compare(expected, actual)

    assert (comparison.outcome, comparison.reason) == ("different", name.partition(",")[0])
    assert comparison.detail


def test_a_single_cell_is_told_with_both_values() -> None:
    comparison = compare(table("country n", ("DE", 12), ("FR", 7)), table("country n", ("DE", 12), ("FR", 8)))

    assert comparison.detail == "column 'n' holds 8; 7 expected"


def test_the_order_of_rows_counts_only_if_asked() -> None:
    expected, actual = table("n", (1,), (2,)), table("n", (2,), (1,))

    assert compare(expected, actual).outcome == "equal"
    assert compare(expected, actual, ordered=True).reason == "ROW_ORDER_DIFFERENCE"
    assert compare(expected, expected, ordered=True).outcome == "equal"
    turned = compare(table("a n", ("x", 1), ("y", 2)), table("n a", (1, "x"), (2, "y")), ordered=True)
    assert turned.outcome == "equal"


def test_cells_may_not_change_rows_while_columns_hold_the_same_cells() -> None:
    expected = table("a b", (1, "x"), (2, "y"))
    actual = table("a b", (1, "y"), (2, "x"))

    assert compare(expected, actual).reason == "RESULT_MISSING_ROWS"


def test_prices_a_cent_apart_do_not_run_together() -> None:
    cents = [round(9_000 + n / 100, 2) for n in range(100)]
    expected = table("n", *((price,) for price in cents))
    actual = table("n", *((price,) for price in [cents[0]] * 100))

    assert compare(expected, actual).outcome == "different"


def test_two_results_that_were_cut_are_never_equal() -> None:
    whole, cut = table("n", (1,), (2,)), table("n", (1,), (2,), truncated=True)

    assert (compare(cut, cut).outcome, compare(cut, cut).reason) == ("undecided", "RESULT_TRUNCATED")
    assert compare(whole, cut).reason == "RESULT_EXTRA_ROWS"
    assert compare(cut, whole).reason == "RESULT_MISSING_ROWS"
    assert compare(table("n", (1,), (2,), (3,)), cut).outcome == "undecided"
    assert compare(cut, table("n", (1,), (2,), (3,))).outcome == "undecided"


def test_any_accepted_answer_will_do_and_the_nearest_is_told() -> None:
    names, ids = table("name", ("Ann",), ("Bob",)), table("id name", (1, "Ann"), (2, "Bob"))

    assert compare_with_any([names, ids], ids).outcome == "equal"
    assert compare_with_any([names, ids], table("id name", (1, "Ann"), (3, "Bob"))).reason == "SINGLE_CELL_DIFFERENCE"
    cut = table("name", ("Ann",), truncated=True)
    assert compare_with_any([names, cut], cut).outcome == "undecided"


def test_twelve_columns_of_the_same_values_are_matched() -> None:
    draw = random.Random(3)
    rows = [tuple(draw.choice((0, 1, None)) for _ in range(12)) for _ in range(300)]
    order = draw.sample(range(12), 12)
    shuffled = draw.sample([tuple(row[i] for i in order) for row in rows], len(rows))
    expected, actual = table(" ".join("abcdefghijkl"), *rows), table(" ".join("mnopqrstuvwx"), *shuffled)

    assert compare(expected, actual).outcome == "equal"


def test_a_table_made_to_be_hard_is_left_undecided_or_told_apart() -> None:
    # Every column holds one 1, and any two columns look alike: a permutation matrix against one with a row twice.
    size = 12
    rows = [tuple(int(i == j) for j in range(size)) for i in range(size)]
    ringed = [tuple(int(j in (i, (i + 1) % size)) for j in range(size)) for i in range(size)]
    two_rings = [tuple(int(j in (i, i // 6 * 6 + (i + 1) % 6)) for j in range(size)) for i in range(size)]
    columns = " ".join("abcdefghijkl")

    assert compare(table(columns, *rows), table(columns, *rows[::-1])).outcome == "equal"
    assert compare(table(columns, *ringed), table(columns, *two_rings)).outcome in ("different", "undecided")


cells = st.none() | st.integers(-3, 3) | st.sampled_from(["x", "y", "2", ""]) | st.sampled_from([0.5, 2.5, 1.0])


@given(st.data())
def test_any_shuffle_of_rows_and_columns_is_equal(data: st.DataObject) -> None:
    width = data.draw(st.integers(1, 4))
    rows = data.draw(st.lists(st.tuples(*[cells] * width), max_size=6))
    order = data.draw(st.permutations(range(width)))
    shuffled = data.draw(st.permutations([tuple(row[i] for i in order) for row in rows]))
    names = "abcd"[:width]

    assert compare(table(" ".join(names), *rows), table(" ".join(names), *shuffled)).outcome == "equal"


@given(st.data())
def test_the_search_agrees_with_trying_every_permutation(data: st.DataObject) -> None:
    width = data.draw(st.integers(1, 3))
    rows = st.lists(st.tuples(*[st.integers(0, 2)] * width), min_size=1, max_size=4)
    left, right = data.draw(rows), data.draw(rows)
    names = " ".join("abc"[:width])

    any_fits = any(
        sorted(left) == sorted(tuple(row[i] for i in order) for row in right)
        for order in itertools.permutations(range(width))
    )

    assert (compare(table(names, *left), table(names, *right)).outcome == "equal") == any_fits
