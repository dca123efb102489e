"""What running text writes as a database does."""

from __future__ import annotations

import pytest

from kb.search_text import identifiers


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("`cars.id` joins `sales`", ("cars.id", "sales")),
        ("Use sales.sale_date, not crtd_ts.", ("sales.sale_date", "crtd_ts")),
        ("SUM(sale_price) / 100.0 of a.b.c", ("sale_price", "a.b.c")),
        ("Sent, e.g. by mail. End.Next", ("e.g", "End.Next")),
        ("no names at all", ()),
        ("twice_said and twice_said", ("twice_said",)),
    ],
)
def test_identifiers_are_quoted_dotted_or_joined_by_underscores(text: str, written: tuple[str, ...]) -> None:
    assert identifiers(text) == written
