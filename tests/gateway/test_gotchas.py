"""Gotchas from two statements: one sentence each, what they are about, and what is only of one question."""

from __future__ import annotations

import pytest

from gateway.gotchas import Candidates, candidates
from kb.items import Column, Gotcha, Item, Provenance, Schema
from kb.masking import mask
from kb.name_index import entities_of

TABLES = {
    "orders": ("id", "status", "state", "buyer_id", "total_eur", "created_at", "booked_on", "deleted_at"),
    "customers": ("id", "email", "country", "is_test", "deleted_at"),
    "payments": ("order_id", "amount_cents", "result"),
    "suppliers": ("id", "name"),
    "products": ("id", "name"),
}
NAMES = entities_of(
    [
        Item(f"schema:{table}", table, Schema(table, tuple(Column(name, "TEXT") for name in columns)))
        for table, columns in TABLES.items()
    ]
)
ORDERS = "SELECT count(*) FROM orders WHERE "
CUSTOMERS = "SELECT count(*) FROM customers WHERE "


def derived(question: str, wrong: str, right: str, known: dict[str, Item] | None = None) -> Candidates:
    asked = mask(question, NAMES.find(question))
    provenance = Provenance("confirmation", request_id="req_a", confirmed_by="ann")
    return candidates(
        wrong, right, asked, dialect="sqlite", tables=TABLES, known=known or {}, provenance=provenance
    )  # fmt: skip


def texts(found: Candidates) -> list[str]:
    return [item.body.text for item in found.gotchas if isinstance(item.body, Gotcha)]


@pytest.mark.parametrize(
    ("question", "wrong", "right", "text"),
    [
        (
            "How many orders were cancelled?",
            f"{ORDERS} status = 'cancelled'",
            f"{ORDERS} state = 'cancelled'",
            "Use orders.state, not orders.status.",
        ),
        (
            "What did we take in 2025?",
            "SELECT sum(total_eur) FROM orders WHERE created_at LIKE '2025%'",
            "SELECT sum(total_eur) FROM orders WHERE booked_on LIKE '2025%'",
            "For the date use orders.booked_on, not orders.created_at.",
        ),
        (
            "How many customers do we have?",
            "SELECT count(*) FROM customers",
            f"{CUSTOMERS} is_test = 0",
            "Only rows of customers where customers.is_test = 0 count.",
        ),
        (
            "How many orders do we have?",
            "SELECT count(*) FROM orders",
            "SELECT count(*) FROM orders AS o JOIN customers AS c ON c.id = o.buyer_id WHERE c.is_test = 0",
            "Only rows of customers where customers.is_test = 0 count (joined by customers.id = orders.buyer_id).",
        ),
        (
            "How many payments are there per order?",
            "SELECT count(*) FROM payments JOIN orders ON buyer_id = order_id",
            "SELECT count(*) FROM payments JOIN orders ON id = order_id",
            "Use orders.id = payments.order_id, not orders.buyer_id = payments.order_id.",
        ),
        (
            "How much was paid?",
            "SELECT sum(amount_cents) FROM payments",
            "SELECT sum(amount_cents) / 100.0 FROM payments",
            "Mind the unit: use payments.amount_cents / 100.0, not payments.amount_cents.",
        ),
        (
            "How many orders are done?",
            f"{ORDERS} state = 'done'",
            f"{ORDERS} state = 'D'",
            "Write orders.state = 'D', not orders.state = 'done'.",
        ),
        (
            "How many people bought something for Christmas in 2025?",
            "SELECT count(*) FROM orders",
            "SELECT count(DISTINCT buyer_id) FROM orders",
            'Asked "How many people bought something for … in …?", '
            "use COUNT(DISTINCT orders.buyer_id), not COUNT(*).",
        ),
        (
            "How many names do we sell?",
            "SELECT count(name) FROM suppliers",
            "SELECT count(name) FROM products",
            'Asked "How many names do we sell?", use products, not suppliers.',
        ),
        (
            "How many people did we ever know?",
            f"{CUSTOMERS} deleted_at IS NULL",
            "SELECT count(*) FROM customers",
            'Asked "How many people did we ever know?", do not filter by customers.deleted_at IS NULL.',
        ),
    ],
)  # fmt: skip
def test_a_mistake_becomes_one_plain_sentence(question: str, wrong: str, right: str, text: str) -> None:
    assert texts(derived(question, wrong, right)) == [text]


def test_a_gotcha_is_proposed_and_says_where_it_comes_from_and_what_it_is_about() -> None:
    (item,) = derived("How many orders?", f"{ORDERS} status = 'x'", f"{ORDERS} state = 'x'").gotchas
    assert (item.status, item.retrievable) == ("proposed", False)
    assert item.title == "orders.state, not orders.status"
    assert item.body == Gotcha("Use orders.state, not orders.status.", "orders.status", "orders.state")
    assert item.depends_on == ("orders.state", "orders.status")
    assert {entity.name for entity in item.entities} == {"orders.state", "orders.status"}
    assert item.provenance is not None
    assert item.provenance.request_id == "req_a"


def test_a_filter_is_also_found_by_the_tables_whose_rows_it_picks() -> None:
    right = "SELECT count(*) FROM orders AS o JOIN customers AS c ON c.id = o.buyer_id WHERE c.is_test = 0"
    (item,) = derived("How many orders do we have?", "SELECT count(*) FROM orders", right).gotchas
    assert {"orders", "customers", "customers.is_test"} <= {entity.name for entity in item.entities}


def test_a_mapped_word_of_the_question_leads_to_its_gotcha() -> None:
    (item,) = derived("How many orders are done?", f"{ORDERS} state = 'done'", f"{ORDERS} state = 'D'").gotchas
    assert "done" in {entity.name for entity in item.entities}


@pytest.mark.parametrize(
    ("question", "wrong", "right", "why"),
    [
        (
            "How many orders were returned?",
            f"{ORDERS} state = 'cancelled'",
            f"{ORDERS} state = 'returned'",
            "the question says 'returned'",
        ),
        (
            "How many cancelled orders are there?",
            "SELECT count(*) FROM orders",
            f"{ORDERS} state = 'cancelled'",
            "the question says 'cancelled'",
        ),
        ("How many big orders?", f"{ORDERS} total_eur > 10", f"{ORDERS} total_eur > 20", "20 in place of 10"),
        (
            "How many orders came last year?",
            "SELECT count(*) FROM orders",
            f"{ORDERS} created_at >= '2025-01-01'",
            "'2025-01-01' is a date",
        ),
        ("How many orders of buyer seven?", "SELECT count(*) FROM orders", f"{ORDERS} buyer_id = 7", "says '7'"),
        (
            "How many customers do we have in Germany?",
            "SELECT count(*) FROM customers",
            f"{CUSTOMERS} country = 'DE'",
            "'DE' may be what the question calls 'Germany'",
        ),
        (
            "How many customers are like ann at example.com?",
            f"{CUSTOMERS} email = 'Ann'",
            f"{CUSTOMERS} email = 'ann@example.com'",
            "the question says 'ann@example.com'",
        ),
        (
            "How many customers are called so?",
            f"{CUSTOMERS} email = 'x'",
            f"{CUSTOMERS} email = 'ann@example.com'",
            "'ann@example.com' is no code",
        ),
    ],
)
def test_what_one_question_asks_for_is_no_rule(question: str, wrong: str, right: str, why: str) -> None:
    found = derived(question, wrong, right)
    assert found.gotchas == ()
    assert len(found.left_out) == 1
    assert why in found.left_out[0]


def test_a_rule_beside_a_value_of_the_question_is_kept_alone() -> None:
    found = derived(
        "How many customers in Germany?",
        "SELECT count(*) FROM customers",
        f"{CUSTOMERS} country = 'DE' AND deleted_at IS NULL",
    )
    assert texts(found) == ["Only rows of customers where customers.deleted_at IS NULL count."]
    assert len(found.left_out) == 1


def test_a_name_that_stands_in_the_statement_is_no_reason_to_leave_a_filter_out() -> None:
    found = derived(
        "How many payments of customers in Germany were captured by Ann?",
        "SELECT sum(amount_cents) FROM payments",
        "SELECT sum(amount_cents) FROM payments WHERE result = 'settled' /* Germany, Ann */",
    )
    assert texts(found) == ["Only rows of payments where payments.result = 'settled' count."]


def test_a_rule_that_the_base_has_in_any_status_is_not_taught_again() -> None:
    (item,) = derived("How many orders?", f"{ORDERS} status = 'x'", f"{ORDERS} state = 'x'").gotchas
    known = {item.id: item.with_status("retired")}
    assert derived("How many?", f"{ORDERS} status = 'y'", f"{ORDERS} state = 'y'", known).gotchas == ()


def test_an_answer_that_is_wrong_in_many_ways_is_no_lesson() -> None:
    filters = "deleted_at IS NULL AND id > 0 AND total_eur > 0 AND buyer_id > 0 AND state IS NOT NULL"
    found = derived("How many orders?", "SELECT count(*) FROM orders", f"{ORDERS} {filters}")
    assert found.gotchas == ()
    assert "5 ways" in found.left_out[0]
