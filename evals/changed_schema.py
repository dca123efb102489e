"""What differs between the tables that two commits know: an answer that reads it is judged anew."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property

from gateway.verification import sql_of
from kb.sql_reads import query_reads

Tables = Mapping[str, Collection[str]]
"""Table → its columns."""


class ChangedSchema:
    """Tables and columns that one of two commits alone knows. No types: no answer is checked by them."""

    def __init__(self, before: Tables, after: Tables) -> None:
        self._before, self._after = before, after

    @cached_property
    def columns(self) -> frozenset[tuple[str, str]]:
        """(table, column) in small letters; ("orders", "") is the table itself."""
        return _names(self._before) ^ _names(self._after)

    def is_read_by(self, answer: str) -> bool:
        """Whether the statement in an answer reads one of them; also where it cannot be told what it reads."""
        if not self.columns:
            return False
        reads = query_reads(sql_of(answer), {**self._before, **self._after})
        return reads is None or any(reads.touches(table, column) for table, column in self.columns)


def _names(tables: Tables) -> frozenset[tuple[str, str]]:
    return frozenset((table.lower(), column.lower()) for table, columns in tables.items() for column in ("", *columns))
