"""Aggregates that a question names and its statement has nothing of."""

from __future__ import annotations

import pytest

from gateway.unused_aggregates import unused_aggregates
from kb.masking import mask


@pytest.mark.parametrize(
    ("question", "sql", "told"),
    [
        ("highest weight of journals", "SELECT avg(weight) FROM journals", ("highest",)),
        ("smallest and average weight", "SELECT sum(weight), max(weight) FROM journals", ("smallest", "average")),
        ("highest weight", "SELECT max(weight) FROM journals", ()),
        ("the journal with the highest weight", "SELECT id FROM journals ORDER BY weight DESC LIMIT 1", ()),
        ("the highest point", "SELECT highest_point FROM states", ()),
        ("the maximum speed", "SELECT max_speed FROM cars", ()),
        ("average price", "SELECT sum(price) / count(*) FROM orders", ()),
        ("weights of at least 3", "SELECT weight FROM journals WHERE weight >= 3", ()),
    ],
)
def test_an_aggregate_is_told_where_the_statement_has_no_word_for_it(
    question: str, sql: str, told: tuple[str, ...]
) -> None:
    assert unused_aggregates(mask(question, ()), sql) == told
