"""Answers to questions that differ in their values alone: put side by side with the same values in both."""

from __future__ import annotations

import pytest

from gateway.same_template import contradicts, same_template, with_values_of
from kb.items import Column, Item, Schema
from kb.known_values import known_values
from kb.masking import MaskedQuestion, Span

TABLES = {"orders": ("id", "state", "status", "total", "color")}
COLUMNS = (
    Column("state", "TEXT", samples=("open", "IN_TRANSIT")),
    Column("color", "TEXT", samples=("red", "open")),
    Column("total", "REAL"),
)
VALUES = known_values([Item("schema:orders", "Table orders", Schema("orders", COLUMNS))])


def masked(frame: str, kind: str, *values: str, names: tuple[str, ...] = ("order",)) -> MaskedQuestion:
    """`frame` has `{}` for each value; names come first."""
    question, spans, at = frame, [Span("name", name, index, index + 1) for index, name in enumerate(names)], 0
    for value in values:
        at = question.index("{}", at)
        question = question.replace("{}", value, 1)
        spans.append(Span(kind, value, at, at + len(value)))  # type: ignore[arg-type]
    return MaskedQuestion(question, frame.replace("{}", f"<{kind}>"), tuple(spans))


def over(*values: str) -> MaskedQuestion:
    return masked("orders over {} and under {}", "number", *values)


def that_are(value: str) -> MaskedQuestion:
    return masked("orders that are {}", "value", value)


def test_questions_of_one_template_name_the_same_and_differ_in_values() -> None:
    assert same_template(over("5", "9"), over("6", "10"), VALUES)
    assert not same_template(over("5", "9"), masked("orders over {}", "number", "5"), VALUES)
    other = masked("orders over {} and under {}", "number", "5", "9", names=("customer",))
    assert not same_template(over("5", "9"), other, VALUES)
    nothing = masked("all orders", "number")
    assert not same_template(nothing, nothing, VALUES)


def test_values_of_different_columns_make_no_template() -> None:
    assert same_template(that_are("open"), that_are("in transit"), VALUES)
    assert not same_template(that_are("red"), that_are("in transit"), VALUES)


def test_an_old_statement_is_asked_with_the_new_values_as_the_data_writes_them() -> None:
    old = "SELECT count(*) FROM orders WHERE total > 5 AND total < 9"
    assert with_values_of(over("6", "10"), over("5", "9"), old, dialect="sqlite", values=VALUES) == (
        "SELECT COUNT(*) FROM orders WHERE total > 6 AND total < 10"
    )
    moved = with_values_of(
        that_are("in transit"), that_are("open"), "SELECT id FROM orders WHERE state = 'open'", dialect="sqlite",
        values=VALUES,
    )  # fmt: skip
    assert moved == "SELECT id FROM orders WHERE state = 'IN_TRANSIT'"


@pytest.mark.parametrize(
    ("asked", "known", "old"),
    [
        (over("6", "10"), over("5", "5"), "SELECT id FROM orders WHERE total > 5 AND total < 5"),
        (over("6", "10"), over("5", "9"), "SELECT id FROM orders WHERE total BETWEEN 5 AND 8.99"),
        (over("6", "10"), over("5", "9"), "SELECT id FROM orders WHERE total > 5 AND total < 9 LIMIT 5"),
        (over("6", "10"), over("5", "9"), "SELECT FROM WHERE"),
        (masked("in {}", "date", "may 2025"), masked("in {}", "date", "may 2024"), "SELECT 'may 2024'"),
    ],
)
def test_where_a_value_goes_must_be_certain(asked: MaskedQuestion, known: MaskedQuestion, old: str) -> None:
    assert with_values_of(asked, known, old, dialect="sqlite", values=VALUES) is None


def test_answers_contradict_where_the_old_one_with_the_new_values_gives_another_result() -> None:
    told: list[tuple[str, str]] = []

    def judged(answer: str, old: str, *, same: bool) -> bool:
        def same_result(moved: str, new: str) -> bool:
            told.append((moved, new))
            return same

        return contradicts(
            over("6", "10"), answer, over("5", "9"), old,
            dialect="sqlite", tables=TABLES, values=VALUES, same_result=same_result,
        )  # fmt: skip

    old = "SELECT count(*) FROM orders WHERE total > 5 AND total < 9"
    assert not judged("SELECT count(*) FROM orders WHERE total > 6 AND total < 10", old, same=False)
    assert not told, "one statement but for its values needs no run"
    assert not judged("SELECT count(total) FROM orders WHERE total > 6 AND total < 10", old, same=True)
    assert judged("SELECT count(total) FROM orders WHERE total > 6 AND total < 10", old, same=False)
    assert [moved for moved, _ in told] == ["SELECT COUNT(*) FROM orders WHERE total > 6 AND total < 10"] * 2
    assert judged("SELECT count(*) FROM orders WHERE id > 6 AND total < 10", old, same=True), "it reads another column"
    assert judged("SELECT max(total) FROM orders WHERE total > 6 AND total < 10", "SELECT 9 + 5.0", same=True)
