"""Values that a statement compares a column with and the column does not have."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import exp

from evals.bench.learning.stream_set import stream_set
from evals.bench.mini.knowledge import introspected, tables_of
from gateway.unknown_values import unknown_values
from kb.introspect import SOURCE
from kb.items import Column, Item, Provenance, Schema
from kb.known_values import known_values, whole_columns

DATA = Path(os.environ.get("KVASIR_DATA", "../shared/data"))
ORDERS = Schema(
    "orders",
    (
        Column("id", "INTEGER"),
        Column("state", "TEXT", samples=("cancelled", "in transit", "open"), values=("Paid",)),
        Column("channel", "TEXT", samples=("phone", "web")),
        Column("note", "TEXT"),
    ),
    row_count=9,
)
CUSTOMERS = Schema(
    "Customers", (Column("id", "INTEGER"), Column("City", "TEXT", values=("Ghent", "Lyon"))), row_count=2
)
ITEMS = [Item(f"schema:{body.table}", body.table, body, provenance=Provenance(SOURCE)) for body in (ORDERS, CUSTOMERS)]


def unknown(sql: str, items: list[Item] = ITEMS, dialect: str = "sqlite") -> tuple[str, ...]:
    return unknown_values(
        sql, dialect=dialect, tables=tables_of(items), values=known_values(items), whole=whole_columns(items)
    )


CANCELED = "orders.state with 'canceled' (did you mean 'cancelled'?)"


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("SELECT count(*) FROM orders WHERE state = 'canceled'", (CANCELED,)),
        ("SELECT count(*) FROM orders WHERE 'canceled' <> State", (CANCELED,)),
        ("SELECT count(*) FROM orders o JOIN customers c ON c.id = o.id WHERE o.state = 'canceled'", (CANCELED,)),
        ("SELECT id FROM customers WHERE id IN (SELECT id FROM orders WHERE state = 'canceled')", (CANCELED,)),
        ("SELECT sum(CASE WHEN state = 'canceled' THEN 1 ELSE 0 END) FROM orders", (CANCELED,)),
        ("WITH gone AS (SELECT * FROM orders WHERE state = 'canceled') SELECT id FROM gone", (CANCELED,)),
        ("SELECT id FROM orders WHERE state IN ('open', 'paid')", ("orders.state with 'paid' (did you mean 'Paid'?)",)),
        (
            "SELECT id FROM customers WHERE city NOT IN ('Gent')",
            ("Customers.City with 'Gent' (did you mean 'Ghent'?)",),
        ),
        ("SELECT id FROM orders WHERE state = 'refunded'", ("orders.state with 'refunded'",)),
    ],
)
def test_a_text_that_the_column_does_not_have_is_told(sql: str, told: tuple[str, ...], dialect: str) -> None:
    assert unknown(sql, dialect=dialect) == told


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM orders WHERE state IN ('open', 'Paid') OR state <> 'in transit'",
        "SELECT id FROM orders WHERE state LIKE 'cancel%' OR state LIKE 'canceled'",
        "SELECT id FROM orders WHERE lower(state) = 'paid'",
        "SELECT id FROM orders WHERE state > 'canceled'",
        "SELECT id FROM orders WHERE state = '2025'",
        "SELECT id FROM orders WHERE state = 'web'",
        "SELECT id FROM orders WHERE note = 'canceled'",
        "SELECT o.id FROM orders o JOIN customers c ON c.city = o.state",
        "SELECT kind FROM (SELECT 'canceled' AS kind) WHERE kind = 'canceled'",
        "SELECT s FROM (SELECT state AS s FROM orders) WHERE s = 'canceled'",
        "SELECT state FROM shops WHERE state = 'canceled'",
        "SELECT FROM WHERE",
    ],
)
def test_what_it_has_and_what_cannot_be_judged_is_not(sql: str, dialect: str) -> None:
    assert unknown(sql, dialect=dialect) == ()


@given(st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=11), st.data())
def test_a_value_of_the_column_is_never_told(samples: list[str], data: st.DataObject) -> None:
    body = Schema("orders", (Column("state", "TEXT", samples=tuple(samples)),), row_count=9)
    items = [Item("schema:orders", "orders", body, provenance=Provenance(SOURCE))]
    written = exp.Literal.string(data.draw(st.sampled_from(samples))).sql("sqlite")
    assert unknown(f"SELECT 1 FROM orders WHERE state = {written}", items) == ()


# ── statements of people ─────────────────────────────────────────────────────────────────────────────────────────

SETS = {
    "spider/dev.jsonl": (2, 469),
    "spider/realistic.jsonl": (2, 154),
    "spider/train1196.jsonl": (6, 1072),
    "text2sql_templates/geography.jsonl": (2, 478),
}
"""Right statements of each set that are told, and how many there are."""
SLIPS = {
    "spider/dev.jsonl": (74, 91),
    "spider/realistic.jsonl": (42, 50),
    "spider/train1196.jsonl": (265, 300),
    "text2sql_templates/geography.jsonl": (318, 318),
}
"""Statements that are told once a letter in the middle of their first text is left out, and how many have a text."""


@pytest.mark.parametrize("name", SETS)
def test_of_right_statements_few_are_told_and_of_those_with_a_slip_most(name: str) -> None:
    if not (DATA / name).exists():
        pytest.skip(f"{DATA / name} is not there; name its folder in KVASIR_DATA")
    right = list(_statements(name))
    assert (sum(bool(unknown(sql, items)) for sql, items in right), len(right)) == SETS[name]
    slipped = [(slip, items) for sql, items in right if (slip := _with_slip(sql)) is not None]
    assert (sum(bool(unknown(sql, items)) for sql, items in slipped), len(slipped)) == SLIPS[name]


def test_of_the_shops_right_statements_none_is_told(tmp_path: Path) -> None:
    shop = stream_set("shop", DATA, tmp_path)
    right = [question.gold[0] for question in (*shop.asked, *shop.pool)]
    assert [sql for sql in right if unknown(sql, list(shop.items))] == []
    assert len(right) == 160


def _statements(name: str) -> Iterator[tuple[str, list[Item]]]:
    """With the items of its database. Texts in double quotes, which the product refuses, are put in single ones."""
    folder = DATA / "spider" / "database" if name.startswith("spider") else (DATA / name).parent
    for line in (DATA / name).read_text().splitlines():
        record = json.loads(line)
        database = folder / f"{record['db_id']}.sqlite"
        if database.is_file():
            sql = re.sub(r'"([^"]*)"', lambda text: "'" + text[1].replace("'", "''") + "'", record["gold_sql"][0])
            yield sql.rstrip("; "), _items(database)


@cache
def _items(database: Path) -> list[Item]:
    return introspected(database)


def _with_slip(sql: str) -> str | None:
    tree = sqlglot.parse_one(sql, dialect="sqlite")
    text = next((literal for literal in tree.find_all(exp.Literal) if literal.is_string), None)
    if text is None or len(text.name) < 2:
        return None
    text.set("this", text.name[: len(text.name) // 2] + text.name[len(text.name) // 2 + 1 :])
    return tree.sql(dialect="sqlite")
