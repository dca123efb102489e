"""Pairs of questions that ask for the same, and pairs that only look so. A wrong "same" is the bad error."""

from __future__ import annotations

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from kb.items import Column, Entity, Item, Metric, Schema
from kb.masking import MaskedQuestion, mask
from kb.name_index import entities_of
from kb.same_question import same_question
from kb.words import words

_STATES = ("delivered", "cancelled", "William")
ITEMS = [
    Item(
        id="schema:orders",
        title="orders",
        body=Schema("orders", (Column("state", "text", samples=_STATES), Column("price", "int"))),
    ),
    Item(
        id="schema:customers",
        title="customers",
        body=Schema("customers", (Column("country", "text", samples=("Germany", "France")),)),
        entities=(Entity("customer", ("client",)),),
    ),
    Item(id="metric:revenue", title="Revenue", body=Metric("x"), entities=(Entity("revenue"),)),
    Item(id="metric:gross", title="Gross", body=Metric("x"), entities=(Entity("gross profit", ("earnings",)),)),
    Item(id="metric:net", title="Net", body=Metric("x"), entities=(Entity("net profit", ("earnings",)),)),
]
INDEX = entities_of(ITEMS)


def masked(question: str) -> MaskedQuestion:
    return mask(question, INDEX.find(question))


def same(left: str, right: str) -> bool:
    return same_question(masked(left), masked(right))


SAME = [
    ("How many orders were delivered?", "how many orders were delivered"),
    ("How many orders were delivered?", "What is the number of orders that were delivered?"),
    ("How many orders were delivered?", "How many delivered orders are there?"),
    ("How many orders were delivered in 2024?", "In 2024, how many orders were delivered?"),
    (
        "How many orders placed in 2025 were cancelled?",
        "What is the number of orders placed in 2025 that were cancelled?",
    ),
    ("What is the total number of orders?", "How many orders are there?"),
    ("Show me the customers in Germany", "List customers in Germany"),
    ("Which customers are in Germany?", "What clients are in Germany, please?"),
    ("revenue per country", "revenue for each country"),
    ("What is the revenue by country?", "revenue per country"),
    ("What was the average price?", "Show me the mean price"),
    ("orders over 1,000", "orders above 1000"),
    ("Which supplier has the longest lead time?", "What supplier has the longest lead time?"),
    ("the highest price", "What is the maximum price?"),
    ("orders that weren't delivered", "orders that were not delivered"),
    ("Which weren’t delivered?", "Which weren't delivered?"),
    ("How many customers do we have in Germany?", "How many customers are there in Germany?"),
    ("unique countries", "distinct countries"),
]
DIFFERENT = [
    # negation
    ("orders that were delivered", "orders that were not delivered"),
    ("orders delivered but not cancelled", "orders cancelled but not delivered"),
    ("orders delivered but not cancelled", "orders not delivered but cancelled"),
    ("orders not in Germany except cancelled", "orders except in Germany not cancelled"),
    ("customers with orders", "customers without orders"),
    # literals, numbers, signs, units
    ("customers in Germany", "customers in France"),
    ("orders below 5", "orders below -5"),
    ("orders above 1.500", "orders above 1,500"),
    ("discount of 10%", "discount of 10"),
    ("price in $", "price in €"),
    ("called 'Smith'", "called 'Smiths'"),
    ("with code 'de'", "with code 'DE'"),
    ("top 5 of 10 orders", "top 10 of 5 orders"),
    ("reviews with 👍", "reviews with 👎"),
    ("name กิน", "name กัน"),
    # dates
    ("orders in March 2024", "orders in May 2024"),
    ("orders in 2020-2024", "orders in 2020 and 2024"),
    ("orders from 2023 to 2024", "orders from 2024 to 2023"),
    ("orders before 2024", "orders after 2024"),
    ("orders since 2024", "orders after 2024"),
    ("orders until 2024", "orders before 2024"),
    ("orders made in 2024 and paid in 2025", "orders paid in 2024 and made in 2025"),
    ("orders placed in 2025 that were cancelled", "orders placed that were cancelled in 2025"),
    ("orders this month", "orders of the month"),
    # comparison
    ("orders with price > 10", "orders with price < 10"),
    ("orders with price != 10", "orders with price = 10"),
    ("orders over 10", "orders under 10"),
    ("orders with at least 5 parts", "orders with the lowest 5 parts"),
    ("orders with at most 5 parts", "orders with the most 5 parts"),
    ("price of 5 or more", "price of 5 or less"),
    # order of names and words
    ("customers with more orders than revenue", "customers with more revenue than orders"),
    ("number of customers with orders", "customers with the number of orders"),
    ("active customers and orders", "customers and active orders"),
    ("average price and weight", "price and average weight"),
    ("average weight and height", "weight and average height"),
    ("flights from rome to oslo", "flights from oslo to rome"),
    ("profit minus cost", "cost minus profit"),
    ("orders (new or paid) in Germany", "orders new or (paid in Germany)"),
    # superlatives and aggregates
    ("the highest price", "the lowest price"),
    ("the oldest order", "the newest order"),
    ("total price", "average price"),
    ("the average total of the price", "the total average of the price"),
    ("What does state mean?", "What is the average state?"),
    ("What is the order number?", "What is the order count?"),
    # another table, distinct, per
    ("How many customers are there?", "How many orders are there?"),
    ("count of countries", "count of distinct countries"),
    ("distinct customers of orders", "customers of distinct orders"),
    ("revenue", "revenue per country"),
    ("orders placed by customers", "orders placed per customer"),
    ("customers who bought every product", "customers who bought per product"),
    # words that only look alike
    ("custom orders", "customer orders"),
    ("important orders", "import orders"),
    ("news orders", "new orders"),
    ("orders of stage 1", "orders of state 1"),
    ("called Williams", "called William"),
    ("What were our earnings?", "What was the gross profit?"),
    # what looks like filler
    ("customers in the US", "customers"),
    ("customers in the us", "customers"),
    ("employees in IT", "employees"),
    ("parts of grade A", "parts of grade"),
    ("orders with a return", "orders"),
    ("list price of parts", "price of parts"),
    ("return rate", "rate"),
    ("how do customers pay", "what do customers pay"),
    ("customers with many orders", "customers with orders"),
    ("How many orders did I place in 2025?", "How many orders did I place in 2025?"),
    ("Which orders have I cancelled?", "Which orders have I cancelled?"),
    ("orders shipped to me", "orders shipped to me"),
    ("Have orders been cancelled in 2025?", "Which orders have been cancelled in 2025?"),
    ("Are there delivered orders?", "delivered orders"),
    ("my orders", "our orders"),
    ("???", "!!!"),
    ("Show me the list", "What is there?"),
    ("", "?"),
]


@pytest.mark.parametrize(("left", "right"), SAME)
def test_it_is_the_same_question_in_other_words(left: str, right: str) -> None:
    assert same(left, right)
    assert same(right, left)


@pytest.mark.parametrize(("left", "right"), DIFFERENT)
def test_it_is_another_question(left: str, right: str) -> None:
    assert not same(left, right)
    assert not same(right, left)


_PIECES = st.sampled_from(
    "how many number of orders customers clients Germany delivered not by per each 5 -5 2024 'x' > % US us a A the "
    "show list return average total before since at least most or and in ? 👍 é \0 \ufdfa".split(" ")
)
_QUESTIONS = st.one_of(st.lists(_PIECES, max_size=8).map(" ".join), st.text(max_size=30))


@given(_QUESTIONS)
@example("not no customers")
@example("delivered delivered")
def test_every_question_but_a_personal_one_is_the_same_as_itself(question: str) -> None:
    assume(not {"i", "me", "am", "my", "mine"} & {word.text for word in words(question)})
    assert same(question, question)


@given(_QUESTIONS, _QUESTIONS)
def test_the_order_of_the_two_makes_no_difference(left: str, right: str) -> None:
    assert same(left, right) == same(right, left)


@given(st.lists(_PIECES, min_size=1, max_size=8), st.sampled_from(["Germany", "not", "5", "'x'", "orders", "%", "US"]))
def test_a_literal_name_negation_or_symbol_more_is_another_question(pieces: list[str], more: str) -> None:
    question = " ".join(pieces)
    assert not same(question, f"{question} {more}")
