"""What SQL of any dialect reads, worked out by hand; unlike `columns_read`, as much of it as can be told."""

from __future__ import annotations

import pytest

from kb.dependencies import misstated, tables_of
from kb.items import Column, Item, Metric, Rule, Schema, Success, Template
from kb.sql_reads import expression_reads, query_reads

TABLES = {"orders": ("id", "buyer_id", "state"), "Customers": ("id", "Country"), "payments": ("cents", "result")}


@pytest.mark.parametrize(
    ("sql", "columns", "tables", "loose"),
    [
        ("SELECT state FROM orders", {"orders.state"}, {"orders"}, set()),
        ("SELECT count(*) FROM orders", set(), {"orders"}, set()),
        ('SELECT "State" FROM "Orders"', {"orders.state"}, {"orders"}, set()),
        ("SELECT `state` FROM `orders`", {"orders.state"}, {"orders"}, set()),
        ("SELECT [state] FROM [orders]", {"orders.state"}, {"orders"}, set()),
        ("SELECT o.state::text FROM public.orders AS o", {"orders.state"}, {"orders"}, set()),
        ("SELECT o.gone FROM orders AS o", {"orders.gone"}, {"orders"}, set()),
        ("SELECT gone, state FROM orders", {"orders.state"}, {"orders"}, {"gone"}),
        ("SELECT id FROM orders, customers", set(), {"orders", "customers"}, {"id"}),
        ("SELECT state FROM orders JOIN new ON new.id = 1", {"orders.state", "new.id"}, {"orders", "new"}, set()),
        ("WITH a AS (SELECT state AS s FROM orders) SELECT s FROM a ORDER BY s", {"orders.state"}, {"orders"}, set()),
        ("SELECT state FROM orders WHERE id = <id> LIMIT {n}", {"orders.state", "orders.id"}, {"orders"}, set()),
        ("SELECT state FROM orders; -- done", {"orders.state"}, {"orders"}, set()),
    ],
)  # fmt: skip
def test_a_query_tells_its_columns_and_its_tables(
    sql: str, columns: set[str], tables: set[str], loose: set[str]
) -> None:
    reads = query_reads(sql, TABLES)
    assert reads is not None
    assert (reads.columns, reads.tables) == (columns, tables)
    assert loose <= reads.loose


@pytest.mark.parametrize(
    "text",
    ["", "Select the state of orders", "DELETE FROM orders", "SELECT 1; SELECT 2", "SELECT (" * 5000, "select " * 9000],
    ids=lambda text: text[:20],
)
def test_what_is_no_query_tells_nothing(text: str) -> None:
    assert query_reads(text, TABLES) is None


@pytest.mark.parametrize(
    ("expression", "about", "columns", "tables"),
    [
        ("SUM(CASE payments.result WHEN 'x' THEN cents END)", (), {"payments.result", "payments.cents"}, {"payments"}),
        ("SUM(cents)", (), {"payments.cents"}, {"payments"}),
        ("COUNT(DISTINCT id)", ("orders",), {"orders.id"}, {"orders"}),
        ("COUNT(*)", ("orders",), set(), {"orders"}),
        ("SUM(Orders.id) / COUNT(payments.cents)", (), {"orders.id", "payments.cents"}, {"orders", "payments"}),
    ],
)
def test_an_expression_is_over_the_tables_that_it_names_or_is_about(
    expression: str, about: tuple[str, ...], columns: set[str], tables: set[str]
) -> None:
    reads = expression_reads(expression, TABLES, about)
    assert reads is not None
    assert (reads.columns, reads.tables) == (columns, tables)


@pytest.mark.parametrize("expression", ["", "COUNT(*)", "SUM(id)", "a, b", "SUM(x) WHERE y", "SELECT id FROM orders"])
def test_an_expression_over_nobody_knows_what_tells_nothing(expression: str) -> None:
    assert expression_reads(expression, TABLES) is None


def test_a_loose_column_may_be_of_any_table_that_is_read() -> None:
    reads = query_reads("SELECT id, gone FROM orders, customers", TABLES)
    assert reads is not None
    assert reads.touches("Customers", "ID")
    assert reads.touches("orders", "gone")
    assert not reads.touches("payments", "gone")
    assert not reads.touches("orders", "state")


@pytest.mark.parametrize(
    ("body", "depends_on", "columns"),
    [
        (Template("Q?", "SELECT state FROM orders"), (), ("orders.state",)),
        (Template("Q?", "SELECT country FROM customers"), ("orders.id",), ("Customers.Country",)),
        (Template("Q?", "SELECT state FROM orders"), ("Orders.State",), None),
        (Template("Q?", "SELECT gone FROM orders"), ("orders.id",), None),
        (Success("Q?", "Forty-two"), ("orders.id",), None),
        (Metric("Paid.", "SUM(cents)"), ("payments.result",), ("payments.cents",)),
        (Rule("Mind it."), ("orders.id",), None),
    ],
)
def test_what_was_typed_is_compared_with_what_the_sql_reads(
    body: Template | Success | Metric | Rule, depends_on: tuple[str, ...], columns: tuple[str, ...] | None
) -> None:
    assert misstated(Item(f"{body.kind}:x", "X", body, depends_on=depends_on), TABLES) == columns


def test_tables_of_one_name_are_known_with_the_columns_of_all_databases() -> None:
    bodies = [Schema("t", (Column("a", "INT"),), "x"), Schema("t", (Column("b", "INT"), Column("a", "INT")), "y")]
    items = [Item(f"schema:{body.database}.t", "T", body) for body in bodies]
    assert tables_of(items) == {"t": ("a", "b")}
