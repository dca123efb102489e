"""A number with its noun, as people write both: `1 row`, `2,000 rows`."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """`noun` is the one that takes an s where there are several."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
