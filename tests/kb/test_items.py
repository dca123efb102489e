from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kb.errors import InvalidItem
from kb.items import BODY_TYPES, KINDS, Item, Metric, Rule, item_id


def test_every_kind_has_a_body_type() -> None:
    assert tuple(BODY_TYPES) == KINDS
    assert all(body.kind == kind for kind, body in BODY_TYPES.items())


@pytest.mark.parametrize(
    "bad",
    ["utc", "rule:", "rule:-x", "rule:a b", "rule:a/b", "rule:..", "Rule:x", "rule:x\n", "rule:" + "x" * 161],
)
def test_an_id_that_cannot_be_a_file_name_is_refused(bad: str) -> None:
    with pytest.raises(InvalidItem, match="'kind:name'"):
        Item(bad, "title", Rule("text"))


def test_an_id_must_begin_with_the_kind_of_the_body() -> None:
    with pytest.raises(InvalidItem, match="'metric'"):
        Item("rule:x", "title", Metric("text"))


@pytest.mark.parametrize("title", ["", "  ", "\n\t"])
def test_a_title_must_say_something(title: str) -> None:
    with pytest.raises(InvalidItem, match="title"):
        Item("rule:x", title, Rule("text"))


def test_items_cannot_be_changed_only_replaced() -> None:
    item = Item("rule:x", "title", Rule("text"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        item.title = "other"  # type: ignore[misc]
    assert item.with_status("retired").status == "retired"
    assert item.status == "active"


@pytest.mark.parametrize(
    ("usage", "status", "retrievable"),
    [
        ("auto", "active", True),
        ("always", "active", True),
        ("never", "active", False),
        ("auto", "proposed", False),
        ("always", "quarantined", False),
        ("auto", "retired", False),
    ],
)
def test_only_active_items_that_may_be_used_are_retrievable(usage: str, status: str, retrievable: bool) -> None:
    item = Item("rule:x", "title", Rule("text"), usage=usage, status=status)  # type: ignore[arg-type]
    assert item.retrievable is retrievable


def test_a_good_name_is_its_own_id() -> None:
    assert item_id("schema", "shop.order_items") == "schema:shop.order_items"


def test_names_that_differ_only_in_unsafe_characters_get_different_ids() -> None:
    assert item_id("schema", "order items") != item_id("schema", "order/items")
    assert item_id("schema", "order items").startswith("schema:order_items-")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_name_makes_a_valid_id(name: str) -> None:
    assert Item(item_id("rule", name), "title", Rule("text")).id.startswith("rule:")
