"""Numbers with their nouns."""

from __future__ import annotations

from gateway.counted import counted


def test_one_alone_takes_the_singular() -> None:
    assert [counted(number, "row") for number in (0, 1, 2, 1200)] == ["0 rows", "1 row", "2 rows", "1,200 rows"]
