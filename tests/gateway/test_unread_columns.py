"""Columns that a question names and its statement does not read."""

from __future__ import annotations

import pytest

from gateway.unread_columns import settled_names, unread_columns
from kb.items import Column, Entity, Gotcha, Item, Metric, Schema
from kb.masking import mask
from kb.name_index import entities_of

TABLES = {
    "sponsors": (
        "id",
        "email",
        "first_name",
        "is_verified",
        "created_at",
        "temperature",
        "population_density",
        "total",
    ),
    "games": ("id", "sponsor_id", "games_title", "population", "DeviceType", "sponsors"),
    "cust": ("cust_id", "cust_addr", "cust_balu"),
}
SCHEMA = [
    Item(f"schema:{table}", table, Schema(table, tuple(Column(name, "TEXT") for name in columns)))
    for table, columns in TABLES.items()
]


def unread(question: str, sql: str, *knowledge: Item) -> tuple[str, ...]:
    items = [*SCHEMA, *knowledge]
    asked = mask(question, entities_of(items).find(question))
    return unread_columns(asked, sql, dialect="sqlite", tables=TABLES, settled=settled_names(items))


@pytest.mark.parametrize(
    ("question", "sql", "told"),
    [
        ("temperatures of sponsors having email Quinn", "SELECT temperature FROM sponsors", ("sponsors.email",)),
        ("first names of sponsors", "SELECT email FROM sponsors", ("sponsors.first_name",)),
        ("emails of verified sponsors", "SELECT email FROM sponsors WHERE id > 1", ("sponsors.is_verified",)),
        (
            "emails, first names by population",
            "SELECT population FROM sponsors, games",
            ("sponsors.email", "sponsors.first_name"),
        ),
        ("titles of games", "SELECT population FROM games", ("games.games_title",)),
        ("device types of games", "SELECT population FROM games", ("games.DeviceType",)),
        ("addresses of customers", "SELECT cust_balu FROM cust", ("cust.cust_addr",)),
        ("the id", "SELECT email, population FROM sponsors, games", ("sponsors.id or games.id",)),
    ],
)
def test_a_column_that_the_question_names_and_the_statement_does_not_read_is_told(
    question: str, sql: str, told: tuple[str, ...]
) -> None:
    assert unread(question, sql) == told


@pytest.mark.parametrize(
    ("question", "sql"),
    [
        ("emails of verified sponsors", "SELECT Email FROM Sponsors WHERE is_verified = 1"),
        ("sponsors created in 2025", "SELECT id FROM sponsors WHERE created_at >= '2025-01-01'"),
        ("device types of games", "SELECT devicetype FROM games"),
        ("the email of each sponsor", "SELECT * FROM sponsors"),
        ("the email of each sponsor", "SELECT s.* FROM sponsors s"),
        ("the email of each sponsor", "SELECT FROM WHERE"),
        ("the title of each sponsor", "SELECT email FROM sponsors"),
        ("the total number of sponsors", "SELECT count(*) FROM sponsors"),
        ("games of sponsors", "SELECT population FROM games"),
        ("games with 'email' in it", "SELECT temperature FROM sponsors"),
        ("population density", "SELECT population_density FROM sponsors"),
        ("the first temperature", "SELECT temperature FROM sponsors"),
        ("population temperature of a game", "SELECT temperature FROM sponsors, games"),
        ("customers in balance", "SELECT cust_id FROM cust"),
    ],
)
def test_a_name_that_the_statement_answers_or_that_may_mean_else_is_not(question: str, sql: str) -> None:
    assert unread(question, sql) == ()


def test_a_synonym_names_its_column() -> None:
    meant = Item("gotcha:mail", "Mail", Gotcha("say mail"), entities=(Entity("sponsors.email", ("contact",)),))
    assert unread("contact of sponsors", "SELECT temperature FROM sponsors", meant) == ("sponsors.email",)
    assert unread("contact of sponsors", "SELECT email FROM sponsors", meant) == ()


@pytest.mark.parametrize(
    "known",
    [
        Item("gotcha:mail", "Mail", Gotcha("Use sponsors.first_name.", "sponsors.email", "sponsors.first_name")),
        Item("metric:email", "Email", Metric("what they are reached by"), entities=(Entity("reach", ("email",)),)),
    ],
)
def test_what_a_gotcha_or_a_metric_in_use_settles_is_not_told(known: Item) -> None:
    sql = "SELECT first_name FROM sponsors"
    assert unread("the email of sponsors", sql, known) == ()
    assert unread("the email of sponsors", sql, known.with_status("proposed")) == ("sponsors.email",)
