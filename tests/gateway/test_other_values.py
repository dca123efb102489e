"""A confirmed answer about other values, with the question's values in its statement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.other_values import with_question_values
from gateway.settings import Settings
from kb.items import Column, Item, Schema, Success
from kb.knowledge_base import Changes
from kb.known_values import known_values
from kb.masking import MaskedQuestion, Span

VALUES = known_values(
    [
        Item(
            "schema:orders",
            "Table orders",
            Schema("orders", (Column("state", "TEXT", samples=("open",), values=("IN_TRANSIT", "paid")),)),
        )
    ]
)
THAT_ARE, TOP = "how many orders are {}", "the {} largest orders"


def masked(frame: str, kind: str, value: str) -> MaskedQuestion:
    at = frame.index("{}")
    span = Span(kind, value, at, at + len(value))  # type: ignore[arg-type]
    return MaskedQuestion(frame.replace("{}", value), frame.replace("{}", f"<{kind}>"), (span,))


def success(frame: str, kind: str, value: str, sql: str) -> tuple[Item, MaskedQuestion]:
    known = masked(frame, kind, value)
    return Item(f"success:{value.lower()}", known.question, Success(known.question, sql)), known


def answer(asked: MaskedQuestion, *confirmed: tuple[Item, MaskedQuestion]) -> str | None:
    item = with_question_values(asked, confirmed, dialect="sqlite", values=VALUES)
    if item is None:
        return None
    assert isinstance(item.body, Success)
    assert item.body.question == asked.question
    return item.body.answer


OPEN = success(THAT_ARE, "value", "open", "SELECT count(*) FROM orders WHERE state = 'open'")
PAID = success(THAT_ARE, "value", "paid", "SELECT COUNT(*) FROM orders WHERE state = 'paid'")
IN_TRANSIT = masked(THAT_ARE, "value", "in transit")


def test_the_value_is_written_as_the_data_has_it() -> None:
    assert answer(IN_TRANSIT, OPEN) == "SELECT COUNT(*) FROM orders WHERE state = 'IN_TRANSIT'"


def test_several_answers_that_say_the_same_are_one() -> None:
    assert answer(IN_TRANSIT, OPEN, PAID) == answer(IN_TRANSIT, OPEN)


def test_where_confirmed_answers_disagree_the_engine_is_asked() -> None:
    otherwise = success(THAT_ARE, "value", "paid", "SELECT count(DISTINCT id) FROM orders WHERE state = 'paid'")
    assert answer(IN_TRANSIT, OPEN, otherwise) is None


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM orders WHERE state LIKE 'op%'",
        "SELECT count(*) FROM orders",
        "SELECT count(* FROM",
    ],
)
def test_a_statement_without_the_confirmed_value_answers_no_other(sql: str) -> None:
    assert answer(IN_TRANSIT, success(THAT_ARE, "value", "open", sql)) is None


def test_one_that_cannot_be_moved_speaks_against_the_others() -> None:
    assert answer(IN_TRANSIT, OPEN, success(THAT_ARE, "value", "paid", "SELECT 17")) is None


def test_a_number_is_exchanged_only_where_it_stands_as_often_as_the_question_has_it() -> None:
    asked = masked(TOP, "number", "3")
    once = success(TOP, "number", "5", "SELECT id FROM orders ORDER BY total DESC LIMIT 5")
    assert answer(asked, once) == "SELECT id FROM orders ORDER BY total DESC LIMIT 3"
    twice = success(TOP, "number", "1", "SELECT id FROM orders WHERE paid = 1 ORDER BY total DESC LIMIT 1")
    assert answer(asked, twice) is None


def test_an_unknown_value_is_no_value_of_the_template() -> None:
    assert answer(masked(THAT_ARE, "value", "boston"), OPEN) is None


def test_another_frame_is_another_template() -> None:
    assert answer(masked("which orders are {}", "value", "in transit"), OPEN) is None


def test_the_statement_for_one_person_answers_no_other() -> None:
    mine = "how many of my orders are {}"
    of_ada = success(mine, "value", "open", "SELECT count(*) FROM orders WHERE customer = 17 AND state = 'open'")
    assert answer(masked(mine, "value", "in transit"), of_ada) is None


@pytest.mark.parametrize("allowed", [True, False])
def test_a_question_about_another_value_is_answered_if_the_assistant_allows_it(
    make_settings: Callable[..., Settings], shop_items: Changes, fill: Callable[..., None], serve: Callable[..., Any],
    allowed: bool,
) -> None:  # fmt: skip
    sql = "SELECT count(*) FROM orders WHERE state = 'shipped'"
    shipped = Item("success:shipped", "Shipped", Success("How many orders have the state shipped?", sql))
    settings = make_settings(template_answers=allowed)
    fill(settings, Changes(put=(*shop_items.put, shipped)))
    served = serve(settings, filled=False)
    served.engine.enqueue("SELECT 1")
    asked = served.ask("How many orders have the state cancelled?").json()["kvasir"]
    if allowed:
        assert asked["verified_by"] == "success:shipped"
        assert asked["verification"]["sql"] == "SELECT COUNT(*) FROM orders WHERE state = 'cancelled'"
        assert asked["verification"]["rows"] != [[0]]
    else:
        assert asked["answered_by"] == "engine"
