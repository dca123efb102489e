from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kb.codec import canonical_json, decode_item, encode_item, item_from_dict, item_to_dict
from kb.errors import InvalidItem
from kb.items import Column, Item, Rule, Schema

RULE = {"id": "rule:utc", "title": "UTC", "body": {"text": "Times are UTC."}}
SCHEMA = {"id": "schema:t", "title": "T", "body": {"table": "t", "columns": [{"name": "a", "type": "TEXT"}]}}


@given(st.from_type(Item))
def test_every_item_survives_encoding(item: Item) -> None:
    assert decode_item(encode_item(item)) == item
    assert item_from_dict(json.loads(json.dumps(item_to_dict(item)))) == item


def test_text_that_utf8_cannot_hold_is_refused() -> None:
    with pytest.raises(InvalidItem, match="rule:utc"):
        encode_item(Item("rule:utc", "UTC", Rule("\ud800")))


def test_canonical_json_does_not_depend_on_the_order_of_keys() -> None:
    assert canonical_json({"b": 1, "a": "é"}) == canonical_json({"a": "é", "b": 1}) == '{"a":"é","b":1}'.encode()


def test_fields_with_a_default_may_be_absent_and_the_kind_comes_from_the_id() -> None:
    assert item_from_dict(RULE) == Item("rule:utc", "UTC", Rule("Times are UTC."))


def test_a_column_without_values_has_the_bytes_of_before_there_were_any() -> None:
    column = {"name": "id", "type": "INTEGER", "nullable": True, "primary_key": False, "comment": "", "samples": []}
    item = Item("schema:t", "Table t", Schema("t", (Column("id", "INTEGER"),)))
    assert json.loads(encode_item(item))["body"]["columns"] == [column]
    named = Item("schema:t", "Table t", Schema("t", (Column("id", "INTEGER", values=("one",)),)))
    assert json.loads(encode_item(named))["body"]["columns"] == [{**column, "values": ["one"]}]


def test_lists_become_tuples() -> None:
    body = item_from_dict(SCHEMA).body
    assert isinstance(body, Schema)
    assert isinstance(body.columns, tuple)
    assert body.columns[0].nullable


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"titel": "UTC"}, "titel"),
        ({"kind": "rules"}, "kind"),
        ({"kind": ["rule"]}, "kind"),
        ({"id": "utc"}, "kind"),
        ({"id": 7, "kind": "rule"}, "id"),
        ({"title": 7}, "title"),
        ({"title": " \n"}, "title"),
        ({"usage": "sometimes"}, "usage"),
        ({"status": "Active"}, "status"),
        ({"refs": "rule:other"}, "refs"),
        ({"entities": [{"name": "a", "synonym": []}]}, "entities.0.synonym"),
        ({"body": {"text": 7}}, "body.text"),
        ({"body": {}}, "body.text"),
        ({"body": {"text": "x", "note": "y"}}, "body.note"),
        ({"body": {"text": b"x"}}, "body"),
        ({"body": {"text": "\ud800"}}, "body"),
        ({"provenance": {}}, "provenance.source"),
    ],
)
def test_what_is_no_item_is_refused_with_the_field(change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidItem) as caught:
        item_from_dict({**RULE, **change})
    assert caught.value.field == field


@pytest.mark.parametrize("field", ["id", "title", "body"])
def test_a_missing_field_is_named(field: str) -> None:
    data = {key: value for key, value in {**RULE, "kind": "rule"}.items() if key != field}
    with pytest.raises(InvalidItem) as caught:
        item_from_dict(data)
    assert caught.value.field == field


def test_a_number_is_not_taken_for_text_nor_text_for_a_flag() -> None:
    column = {"name": "a", "type": "TEXT", "nullable": "yes"}
    with pytest.raises(InvalidItem) as caught:
        item_from_dict({**SCHEMA, "body": {"table": "t", "columns": [column]}})
    assert caught.value.field == "body.columns.0.nullable"
    assert "schema:t" in str(caught.value)
