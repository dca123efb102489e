"""The columns statements read, worked out by hand."""

from __future__ import annotations

import pytest
import sqlglot

from kb.sql_columns import columns_read, normal_sql, sql_pattern

TABLES = {"orders": ("id", "buyer_id", "state"), "Customers": ("id", "Country")}


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT state FROM orders", {"orders.state"}),
        ("SELECT COUNT(*) FROM orders", set()),
        ("SELECT o.state FROM orders AS o WHERE o.id > 1", {"orders.state", "orders.id"}),
        (
            "SELECT country FROM orders JOIN customers ON buyer_id = customers.id",
            {"Customers.Country", "orders.buyer_id", "Customers.id"},
        ),
        ("SELECT STATE FROM ORDERS", {"orders.state"}),
        ("WITH late AS (SELECT id FROM orders) SELECT late.id FROM late", {"orders.id"}),
        ("SELECT s FROM (SELECT state AS s FROM orders) AS t", {"orders.state"}),
        (
            "SELECT id FROM customers AS c WHERE EXISTS (SELECT 1 FROM orders WHERE buyer_id = c.id AND state = 'x')",
            {"Customers.id", "orders.buyer_id", "orders.state"},
        ),
        ("SELECT state FROM orders UNION SELECT country FROM customers", {"orders.state", "Customers.Country"}),
        ("SELECT 1", set()),
        ("SELECT nothing FROM orders", set()),
        ("not sql at all (", set()),
        ("", set()),
        ("CREATE TABLE t (x INT)", set()),
    ],
)
def test_columns_are_named_by_their_table(sql: str, expected: set[str]) -> None:
    assert columns_read(sql, "sqlite", TABLES) == expected


def test_nesting_past_any_parser_is_no_crash() -> None:
    deep = "SELECT " + "(" * 5000 + "1" + ")" * 5000
    assert columns_read(deep, "sqlite", TABLES) == frozenset()
    assert normal_sql(deep, "sqlite") == deep


def test_spelling_is_no_difference_and_content_is() -> None:
    assert normal_sql("select  State from Orders -- x", "sqlite") == normal_sql("SELECT state FROM orders", "sqlite")
    assert normal_sql("SELECT 'A'", "sqlite") != normal_sql("SELECT 'a'", "sqlite")
    assert normal_sql("SELECT 1  (", "sqlite") == "SELECT 1 ("


def test_a_statement_that_sqlglot_stumbles_over_is_one_that_cannot_be_read():
    stumbles = "SELECT a FROM x FULL JOIN t"
    with pytest.raises(TypeError):
        sqlglot.parse_one(stumbles, dialect="mysql").sql(dialect="mysql")
    assert normal_sql(stumbles, "mysql") == normal_sql(f" {stumbles}", "mysql")


def test_statements_of_one_pattern_differ_in_their_literals_alone() -> None:
    first = sql_pattern("select count(*) from orders where State = 'paid' and id > 5", "sqlite")
    assert first == sql_pattern("SELECT COUNT(*) FROM orders WHERE state = 'new' AND id > 7 -- later", "sqlite")
    assert first != sql_pattern("SELECT COUNT(*) FROM orders WHERE state = 'paid' AND id < 5", "sqlite")
    assert sql_pattern("SELECT 1  (", "sqlite") == "SELECT 1 ("
