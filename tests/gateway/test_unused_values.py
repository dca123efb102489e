"""Values of a question that its statement has nothing of."""

from __future__ import annotations

import pytest

from gateway.unused_values import unused_values
from kb.masking import MaskedQuestion, Span


def asked(kind: str, written: str, value: str | None = None) -> MaskedQuestion:
    question = f"orders with {written}"
    span = Span(kind, value or written, len("orders with "), len(question))  # type: ignore[arg-type]
    return MaskedQuestion(question, f"orders with <{kind}>", (span,))


@pytest.mark.parametrize(
    ("kind", "written", "value", "sql"),
    [
        ("number", "250", None, "SELECT 1 FROM orders WHERE total > 250"),
        ("number", "1,200", "1200", "SELECT 1 FROM orders WHERE total > 1200.0"),
        ("number", "5", None, "SELECT 1 FROM orders WHERE share > 0.05"),
        ("number", "5", None, "SELECT 1 FROM orders WHERE cents > 500"),
        ("number", "2025", None, "SELECT 1 FROM orders WHERE day >= '2025-01-01'"),
        ("date", "march 2025", None, "SELECT 1 FROM orders WHERE day LIKE '2025-03%'"),
        ("value", "In transit", "in transit", "SELECT 1 FROM orders WHERE state = 'IN_TRANSIT'"),
        ("value", "Placed", "placed", "SELECT 1 FROM orders"),
        ("value", "opne", "'opne'", "SELECT 1 FROM orders WHERE state = 'open'"),
        ("text", '"Germany"', "Germany", "SELECT 1 FROM customers WHERE country = 'DE'"),
    ],
)
def test_a_value_that_the_statement_has_in_some_writing_is_used(
    kind: str, written: str, value: str | None, sql: str
) -> None:
    assert unused_values(asked(kind, written, value), sql) == ()


@pytest.mark.parametrize(
    ("kind", "written", "value", "sql"),
    [
        ("number", "250", None, "SELECT 1 FROM orders"),
        ("number", "25", None, "SELECT 1 FROM orders WHERE total > 251"),
        ("date", "march 2025", None, "SELECT 1 FROM orders WHERE day LIKE '2024-03%'"),
        ("value", "Refunded", "refunded", "SELECT 1 FROM orders WHERE state = 'open'"),
    ],
)
def test_a_value_that_was_forgotten_is_told_as_the_question_writes_it(
    kind: str, written: str, value: str | None, sql: str
) -> None:
    assert unused_values(asked(kind, written, value), sql) == (written,)
