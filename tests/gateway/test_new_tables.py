"""What a later turn takes in: a table costs its text, unless the conversation has it."""

from __future__ import annotations

import pytest

from gateway.item_text import item_text
from gateway.new_tables import LACKED, LIKELY, NewTables
from kb.hit import Hit
from kb.items import Column, Item, Schema


def table(columns: int) -> Item:
    body = Schema("orders", tuple(Column(f"column_{number}", "TEXT") for number in range(columns)))
    return Item("schema:orders", "orders", body)


def hit(item: Item, chance: float) -> Hit:
    return Hit(item, "hash", chance, ())


@pytest.mark.parametrize("columns", [1, 20, 100])
def test_a_table_is_taken_in_from_the_chance_that_its_text_costs(columns: int) -> None:
    new = NewTables(frozenset())
    costs = len(item_text(table(columns))) / LACKED
    assert new.worth(hit(table(columns), costs))
    assert not new.worth(hit(table(columns), 0.99 * costs))


def test_a_likely_table_is_taken_in_however_wide_it_is() -> None:
    assert len(item_text(table(900))) > LACKED
    assert NewTables(frozenset()).worth(hit(table(900), LIKELY))
    assert not NewTables(frozenset()).worth(hit(table(900), 0.99 * LIKELY))


def test_what_the_conversation_has_costs_nothing() -> None:
    assert NewTables({"schema:orders"}).worth(hit(table(200), 0.0))
