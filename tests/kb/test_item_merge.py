"""The merge of one item, by hand and by its laws."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kb.introspect import schema_fingerprint
from kb.item_merge import BothAdded, BothChanged, ChangedAndRemoved, Disputed, MergedItem, merge_items
from kb.items import Column, Entity, Gotcha, Item, Metric, Provenance, Rule, Schema, Success

METRIC = Item("metric:revenue", "Revenue", Metric("Before refunds.", "SUM(amount)"))
TABLE = Schema("orders", (Column("id", "INTEGER"), Column("state", "TEXT"), Column("total", "REAL")))
ORDERS = Item("schema:orders", "Table orders", TABLE, depends_on=("orders.id", "orders.state"))


def columns(item: Item, *changed: Column) -> Item:
    assert isinstance(item.body, Schema)
    return replace(item, body=replace(item.body, columns=changed))


def test_changes_of_different_fields_are_both_kept() -> None:
    ours = replace(METRIC, title="Net revenue")
    theirs = replace(METRIC, body=Metric("After refunds.", "SUM(amount)"), usage="always")
    expected = Item("metric:revenue", "Net revenue", Metric("After refunds.", "SUM(amount)"), usage="always")
    assert merge_items(METRIC.id, METRIC, ours, theirs) == MergedItem(expected)


def test_changes_of_one_field_conflict_field_by_field() -> None:
    ours = replace(METRIC, title="Net revenue", status="retired", body=Metric("A", "SUM(amount)"))
    theirs = replace(METRIC, title="Turnover", body=Metric("B", "SUM(amount)"))
    assert merge_items(METRIC.id, METRIC, ours, theirs).conflicts == (
        BothChanged("metric:revenue", "title", "Revenue", "Net revenue", "Turnover"),
        BothChanged("metric:revenue", "body.definition", "Before refunds.", "A", "B"),
    )
    settled = merge_items(METRIC.id, METRIC, ours, theirs, {"title": "theirs", "body.definition": "base"})
    assert settled.item == Item(METRIC.id, "Turnover", METRIC.body, status="retired")


def test_columns_merge_by_name_wherever_they_stand() -> None:
    id_, state, total = TABLE.columns
    ours = columns(ORDERS, id_, Column("paid_at", "TEXT"), replace(state, comment="open or paid"), total)
    theirs = columns(ORDERS, total, state, replace(id_, nullable=False), Column("channel", "TEXT"))
    merged = merge_items(ORDERS.id, ORDERS, ours, theirs).item
    assert merged is not None
    assert isinstance(merged.body, Schema)
    assert merged.body.columns == (
        total,
        replace(state, comment="open or paid"),
        replace(id_, nullable=False),
        Column("paid_at", "TEXT"),
        Column("channel", "TEXT"),
    )


def test_a_column_changed_here_and_dropped_there_conflicts() -> None:
    id_, state, total = TABLE.columns
    ours = columns(ORDERS, id_, replace(state, type="INTEGER"), total)
    (conflict,) = merge_items(ORDERS.id, ORDERS, ours, columns(ORDERS, id_, total)).conflicts
    assert isinstance(conflict, BothChanged)
    assert (conflict.key, conflict.theirs) == ("schema:orders:body.columns.state", None)
    merged = merge_items(ORDERS.id, ORDERS, ours, columns(ORDERS, id_, total), {"body.columns.state": "theirs"})
    assert merged.item == columns(ORDERS, id_, total)


def test_columns_that_both_sides_reordered_conflict_as_a_whole() -> None:
    id_, state, total = TABLE.columns
    merged = merge_items(ORDERS.id, ORDERS, columns(ORDERS, state, id_, total), columns(ORDERS, id_, total, state))
    assert [conflict.key for conflict in merged.conflicts] == ["schema:orders:body.columns"]


def test_two_tables_columns_added_on_both_sides_leave_a_true_fingerprint() -> None:
    def marked(item: Item) -> Item:
        assert isinstance(item.body, Schema)
        return replace(item, schema_fingerprint=schema_fingerprint(item.body))

    base = marked(ORDERS)
    ours = marked(columns(ORDERS, *TABLE.columns, Column("a", "TEXT")))
    theirs = marked(columns(ORDERS, *TABLE.columns, Column("b", "TEXT")))
    both = marked(columns(ORDERS, *TABLE.columns, Column("b", "TEXT"), Column("a", "TEXT")))
    merged = merge_items(ORDERS.id, base, ours, theirs).item
    assert merged is not None
    assert merged.schema_fingerprint == both.schema_fingerprint


def test_texts_and_entities_that_both_sides_added_are_all_kept() -> None:
    base = replace(METRIC, refs=("schema:a",), entities=(Entity("revenue", ("income",)),))
    ours = replace(base, refs=("schema:a", "schema:b"), entities=(Entity("revenue", ("income", "sales")),))
    theirs = replace(base, refs=("schema:c",), entities=(Entity("revenue", ("income",)), Entity("turnover")))
    merged = merge_items(METRIC.id, base, ours, theirs).item
    assert merged is not None
    assert set(merged.refs) == {"schema:b", "schema:c"}
    assert merged.entities == (Entity("revenue", ("income", "sales")), Entity("turnover"))


def test_a_question_is_never_joined_with_the_answer_to_another() -> None:
    base = Item("success:a", "A", Success("How many?", "SELECT 1"))
    ours = replace(base, body=Success("How many orders?", "SELECT 1"))
    theirs = replace(base, body=Success("How many?", "SELECT 2"))
    (conflict,) = merge_items(base.id, base, ours, theirs).conflicts
    assert conflict.key == "success:a:body"


def test_a_provenance_is_taken_whole() -> None:
    base = replace(METRIC, provenance=Provenance("confirmation", "req_1", "ann"))
    ours = replace(base, provenance=Provenance("confirmation", "req_2", "ann"))
    theirs = replace(base, provenance=Provenance("confirmation", "req_1", "bob"))
    (conflict,) = merge_items(base.id, base, ours, theirs).conflicts
    assert conflict.key == "metric:revenue:provenance"
    assert merge_items(base.id, base, ours, theirs, {"provenance": "theirs"}).item == theirs


def test_an_item_changed_here_and_removed_there_conflicts() -> None:
    changed = replace(METRIC, title="Net revenue")
    assert merge_items(METRIC.id, METRIC, changed, None).conflicts == (
        ChangedAndRemoved(METRIC.id, METRIC, changed, None),
    )
    assert merge_items(METRIC.id, METRIC, None, changed).conflicts == (
        ChangedAndRemoved(METRIC.id, METRIC, None, changed),
    )
    assert merge_items(METRIC.id, METRIC, METRIC, None) == MergedItem(None)
    assert merge_items(METRIC.id, METRIC, None, METRIC) == MergedItem(None)


def test_two_new_items_of_one_id_conflict_unless_they_are_equal() -> None:
    other = replace(METRIC, title="Turnover")
    assert merge_items(METRIC.id, None, METRIC, other).conflicts == (BothAdded(METRIC.id, METRIC, other),)
    assert merge_items(METRIC.id, None, METRIC, METRIC) == MergedItem(METRIC)


def test_a_disputed_base_settles_nothing() -> None:
    other = replace(METRIC, title="Turnover")
    assert merge_items(METRIC.id, Disputed(), METRIC, other).conflicts == (BothAdded(METRIC.id, METRIC, other),)
    assert merge_items(METRIC.id, Disputed(), METRIC, None).conflicts == (
        ChangedAndRemoved(METRIC.id, None, METRIC, None),
    )
    assert merge_items(METRIC.id, Disputed(), other, other) == MergedItem(other)


@pytest.mark.parametrize("flag", [True, False])
def test_a_change_of_type_alone_is_a_change(flag: bool) -> None:
    base = columns(ORDERS, Column("id", "INTEGER", nullable=flag))
    ours = columns(ORDERS, Column("id", "INTEGER", nullable=not flag))
    theirs = columns(ORDERS, Column("id", "BIGINT", nullable=flag))
    assert merge_items(ORDERS.id, base, ours, theirs).item == columns(ORDERS, Column("id", "BIGINT", nullable=not flag))


@given(st.from_type(Item))
def test_a_change_on_one_side_is_taken_as_it_is(item: Item) -> None:
    base = Item("gotcha:x", "X", Gotcha("x"))
    given_item = replace(item, id="gotcha:x", body=Gotcha("y"))
    for ours, theirs in ((given_item, base), (base, given_item), (given_item, given_item)):
        assert merge_items("gotcha:x", base, ours, theirs) == MergedItem(given_item)


@given(st.from_type(Item), st.from_type(Item), st.from_type(Item))
def test_a_merge_either_way_round_conflicts_in_the_same_places(one: Item, two: Item, three: Item) -> None:
    base, ours, theirs = (replace(each, id="rule:x", body=Rule(each.title)) for each in (one, two, three))
    there = merge_items("rule:x", base, ours, theirs)
    back = merge_items("rule:x", base, theirs, ours)
    assert sorted(c.key for c in there.conflicts) == sorted(c.key for c in back.conflicts)
    settled = {c.field: "ours" for c in there.conflicts if isinstance(c, BothChanged)}
    assert merge_items("rule:x", base, ours, theirs, settled).conflicts == ()  # type: ignore[arg-type]
