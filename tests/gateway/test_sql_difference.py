"""Which mistake makes one statement of the other, told from their trees."""

from __future__ import annotations

import pytest

from gateway.sql_difference import Difference, DifferenceKind, differences

TABLES = {
    "orders": "id order_no status state channel buyer_id address_id total_eur created_at booked_on deleted_at".split(),
    "customers": ["id", "name", "country", "is_test", "deleted_at"],
    "addresses": ["id", "country", "city"],
    "shipments": ["order_ref", "carrier"],
    "payments": ["order_id", "amount_cents", "paid_at"],
    "order_items": ["product_id", "quantity", "unit_price_cents"],
    "products": ["id", "name", "price_eur"],
    "suppliers": ["id", "name"],
    "reviews": ["product_id", "rating"],
}
STATUS = "SELECT count(*) FROM orders WHERE status = 'cancelled'"
STATE = "SELECT count(*) FROM orders WHERE state = 'cancelled'"


def found(wrong: str, right: str, dialect: str = "sqlite") -> tuple[Difference, ...]:
    return differences(wrong, right, dialect, TABLES)


def told(wrong: str, right: str) -> list[tuple[DifferenceKind, str, str]]:
    return [(each.kind, each.wrong, each.right) for each in found(wrong, right)]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (STATUS, STATE),
        (STATUS.upper().replace("'CANCELLED'", "'cancelled'"), STATE),
        (STATUS, "SELECT count(o.state) AS n FROM orders AS o WHERE o.state IN ('cancelled', 'returned')"),
        ("SELECT status, count(*) FROM orders GROUP BY 1", "SELECT o.state, count(*) FROM orders o GROUP BY o.state"),
        ("WITH t AS (SELECT status s FROM orders) SELECT s FROM t", "SELECT s FROM (SELECT state s FROM orders) AS t"),
    ],
)  # fmt: skip
def test_another_column_of_one_table_is_found_however_the_statement_is_written(wrong: str, right: str) -> None:
    assert told(wrong, right) == [("column", "orders.status", "orders.state")]


@pytest.mark.parametrize(
    ("wrong", "right", "expected"),
    [
        (
            "SELECT sum(total_eur) FROM orders WHERE created_at >= '2025-01-01' AND created_at < '2026-01-01'",
            "SELECT sum(total_eur) FROM orders WHERE booked_on >= '2025-01-01' AND booked_on < '2026-01-01'",
            ("date", "orders.created_at", "orders.booked_on"),
        ),
        (
            "SELECT count(name) FROM suppliers",
            "SELECT count(p.name) FROM products AS p",
            ("table", "suppliers", "products"),
        ),
        (
            "SELECT count(*) FROM customers WHERE country = 'DE'",
            "SELECT count(*) FROM customers WHERE country = 'DE' AND deleted_at IS NULL",
            ("missing_filter", "", "customers.deleted_at IS NULL"),
        ),
        (
            "SELECT count(*) FROM customers WHERE country = 'DE' AND deleted_at IS NULL",
            "SELECT count(*) FROM customers WHERE country = 'DE'",
            ("extra_filter", "customers.deleted_at IS NULL", ""),
        ),
        (
            "SELECT count(*) FROM orders AS o JOIN shipments AS s ON s.order_ref = o.id",
            "SELECT count(*) FROM shipments JOIN orders ON orders.order_no = order_ref",
            ("join", "orders.id = shipments.order_ref", "orders.order_no = shipments.order_ref"),
        ),
        (
            "SELECT count(*) FROM orders, shipments",
            "SELECT count(*) FROM orders, shipments WHERE order_ref = order_no",
            ("missing_join", "", "orders.order_no = shipments.order_ref"),
        ),
        (
            "SELECT count(*) FROM orders WHERE state = 'done'",
            "SELECT count(*) FROM orders WHERE state IN ('D')",
            ("literal", "orders.state = 'done'", "orders.state = 'D'"),
        ),
        (
            "SELECT count(*) FROM orders WHERE state = 'paid'",
            "SELECT count(*) FROM orders WHERE state IN ('paid', 'shipped')",
            ("literal", "orders.state = 'paid'", "orders.state IN ('paid', 'shipped')"),
        ),
        (
            "SELECT count(*) FROM orders WHERE total_eur > 10",
            "SELECT count(*) FROM orders WHERE 20 < total_eur",
            ("bound", "10", "20"),
        ),
        (
            "SELECT sum(amount_cents) AS s FROM payments",
            "SELECT round(sum(amount_cents) / 100.0, 2) FROM payments",
            ("unit", "payments.amount_cents", "payments.amount_cents / 100.0"),
        ),
        (
            "SELECT max(amount_cents) / 10 FROM payments",
            "SELECT max(amount_cents) / 100 FROM payments",
            ("unit", "payments.amount_cents / 10", "payments.amount_cents / 100"),
        ),
        (
            "SELECT count(buyer_id) FROM orders",
            "SELECT count(DISTINCT buyer_id) FROM orders",
            ("aggregate", "COUNT(orders.buyer_id)", "COUNT(DISTINCT orders.buyer_id)"),
        ),
        (
            "SELECT count(*) FROM orders",
            "SELECT count(DISTINCT buyer_id) FROM orders",
            ("aggregate", "COUNT(*)", "COUNT(DISTINCT orders.buyer_id)"),
        ),
        (
            "SELECT sum(rating) FROM reviews",
            "SELECT avg(rating) FROM reviews",
            ("aggregate", "SUM(reviews.rating)", "AVG(reviews.rating)"),
        ),
        (
            "SELECT count(*) FROM orders AS o JOIN customers AS c ON c.id = o.buyer_id WHERE c.country = 'FR'",
            "SELECT count(*) FROM orders AS o JOIN customers AS c ON c.id = o.buyer_id "
            "JOIN addresses AS a ON a.id = o.address_id WHERE a.country = 'FR'",
            ("column", "customers.country", "addresses.country"),
        ),
    ],
)
def test_one_mistake_is_told_by_its_kind(wrong: str, right: str, expected: tuple[str, str, str]) -> None:
    assert told(wrong, right) == [expected]


def test_several_mistakes_are_each_told() -> None:
    wrong = "SELECT round(sum(total_eur), 2) FROM orders WHERE created_at >= '2025-12-01' AND created_at < '2026-01-01'"
    right = (
        "SELECT round(sum(o.total_eur), 2) FROM orders AS o JOIN customers AS c ON c.id = o.buyer_id "
        "WHERE o.booked_on >= '2025-12-01' AND o.booked_on < '2026-01-01' "
        "AND o.state IN ('paid', 'shipped') AND c.is_test = 0"
    )
    assert told(wrong, right) == [
        ("date", "orders.created_at", "orders.booked_on"),
        ("missing_filter", "", "orders.state IN ('paid', 'shipped')"),
        ("missing_filter", "", "customers.is_test = 0"),
    ]


def test_a_filter_on_a_table_that_was_not_there_says_how_it_comes_in() -> None:
    right = "SELECT count(*) FROM orders AS o JOIN customers AS c ON c.id = o.buyer_id WHERE c.is_test = 0"
    (difference,) = found("SELECT count(*) FROM orders", right)
    assert difference.joins == ("customers.id = orders.buyer_id",)
    assert difference.tables == ("customers", "orders")
    assert difference.literals == ("0",)


def test_a_unit_that_goes_with_another_column_is_both() -> None:
    wrong = "SELECT sum(quantity * price_eur) FROM order_items JOIN products ON products.id = product_id"
    right = "SELECT sum(quantity * unit_price_cents) / 100.0 FROM order_items JOIN products ON products.id = product_id"
    assert [kind for kind, _, _ in told(wrong, right)] == ["column", "unit"]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (STATUS, STATUS),
        (STATUS, "SELECT count(channel) FROM orders WHERE state = 'cancelled'"),
        (STATUS, "SELECT max(paid_at) FROM payments"),
        ("SELECT name FROM products LIMIT 5", "SELECT name FROM products LIMIT 3"),
        ("SELECT name FROM products", "SELECT DISTINCT name FROM products"),
        ("SELECT name FROM products ORDER BY price_eur", "SELECT name FROM products ORDER BY price_eur DESC"),
        ("SELECT name FROM products", "SELECT name FROM products UNION SELECT name FROM suppliers"),
        ("SELECT name FROM products", "SELECT name, price_eur FROM products"),
        ("SELECT round(sum(total_eur), 2) FROM orders", "SELECT sum(total_eur) FROM orders"),
        (
            "SELECT count(*) FROM orders AS o JOIN shipments AS s ON s.order_ref = o.order_no WHERE s.carrier = 'DHL'",
            "SELECT count(*) FROM orders AS o WHERE EXISTS "
            "(SELECT 1 FROM shipments AS s WHERE s.order_ref = o.order_no AND s.carrier = 'DHL')",
        ),
        (
            "SELECT count(*) FROM customers JOIN orders ON buyer_id = customers.id",
            "SELECT count(*) FROM customers LEFT JOIN orders ON buyer_id = customers.id",
        ),
        ("WITH t AS (SELECT 1) SELECT count(*) FROM t", "WITH u AS (SELECT 1) SELECT count(*) FROM u"),
        (f"SELECT {'(' * 3000}status{')' * 3000} FROM orders", "SELECT state FROM orders"),
        (f"{STATUS} OR id IN ({', '.join(map(str, range(9000)))})", STATE),
        ("I do not know.", STATE),
        ("SELECT count(*) FROM nowhere WHERE x = 1", STATE),
        ("DELETE FROM orders", STATE),
    ],
)
def test_a_rewrite_that_no_such_mistake_explains_is_none(wrong: str, right: str) -> None:
    assert found(wrong, right) == ()


def test_the_words_are_those_of_the_datasources_dialect_and_the_names_those_of_the_schema() -> None:
    tables = {"Orders": ["Id", "State"]}
    wrong, right = 'SELECT count(*) FROM "Orders"', """SELECT count(*) FROM "Orders" WHERE "State" ILIKE 'x%'"""
    (difference,) = differences(wrong, right, "postgres", tables)
    assert (difference.kind, difference.columns) == ("missing_filter", ("Orders.State",))
    assert "ILIKE" in difference.right
