"""Which answers read what differs between the tables of two commits."""

from __future__ import annotations

import pytest

from evals.changed_schema import ChangedSchema

BEFORE = {"orders": ("id", "State"), "customers": ("id", "name"), "old": ("id",)}
AFTER = {"Orders": ("id", "status"), "customers": ("id", "name"), "new": ("id",)}


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        ("SELECT state FROM orders", True),
        ("```sql\nSELECT o.Status FROM Orders AS o\n```", True),
        ("SELECT count(*) FROM old", True),
        ("SELECT id FROM new", True),
        ("SELECT count(*) FROM orders", False),
        ("SELECT c.name FROM customers AS c JOIN orders AS o ON o.id = c.id", False),
        ("I do not know.", True),
    ],
)
def test_a_statement_that_reads_a_changed_column_or_table_is_told(answer: str, read: bool) -> None:
    assert ChangedSchema(BEFORE, AFTER).is_read_by(answer) is read


def test_where_nothing_changed_nothing_is_read() -> None:
    assert not ChangedSchema(BEFORE, BEFORE).is_read_by("I do not know.")
