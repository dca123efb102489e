"""Which columns' values are completely known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kb.introspect import ROWS_READ, SOURCE
from kb.items import Column, Item, Provenance, Schema
from kb.known_values import known_values, whole_columns

STATES = Column("state", "VARCHAR(20)", samples=("open", "paid"), values=("lost",))


def table(column: Column, *, rows: int | None = 3, source: str = SOURCE, database: str = "") -> Item:
    name = f"schema:{database or 'shop'}.orders"
    return Item(name, name, Schema("orders", (column,), database, "", rows), provenance=Provenance(source))


def test_a_text_column_that_was_read_whole_is_known_with_all_its_values() -> None:
    assert whole_columns([table(STATES)]) == {"orders.state": {"open", "paid", "lost"}}
    assert whole_columns([table(STATES, rows=ROWS_READ)]).keys() == {"orders.state"}


@pytest.mark.parametrize(
    "item",
    [
        table(replace(STATES, samples=(), values=())),
        table(replace(STATES, type="DATE")),
        table(STATES, rows=ROWS_READ + 1),
        table(STATES, rows=None),
        table(STATES, source="snowflake"),
        table(STATES).with_status("retired"),
    ],
    ids=["nothing read", "no text", "too large", "rows unknown", "by hand", "retired"],
)
def test_a_column_that_may_have_other_values_is_not(item: Item) -> None:
    assert whole_columns([item]) == {}


def test_a_table_that_two_databases_have_is_not() -> None:
    assert whole_columns([table(STATES), table(STATES, database="other")]) == {}


def test_a_value_is_known_by_how_it_is_spoken() -> None:
    item = table(replace(STATES, samples=("IN_TRANSIT",), values=()))
    assert known_values([item]) == {"in transit": {("orders.state", "IN_TRANSIT")}}
