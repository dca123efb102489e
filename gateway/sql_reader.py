"""What a SQL worker reads a database through: the contract, its limits, and the rows it gathers.

Implementations: `sqlite_reader.py`, `postgres_reader.py`. Each opens the database so that it cannot be written,
whatever statement arrives: the policy in `sql_policy.py` is the first fence and this is the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from gateway.sql_wire import Scalar, json_value, size_bytes

FailureKind = Literal["unavailable", "refused", "failed", "time", "memory", "result"]


@dataclass(frozen=True)
class ReadLimits:
    timeout_seconds: float
    max_memory_bytes: int
    max_result_bytes: int


class ReadFailure(Exception):
    """Why a statement gave no rows. `kind` picks the gateway's error, `message` is the database's own words."""

    def __init__(self, kind: FailureKind, message: str = "") -> None:
        self.kind: FailureKind = kind
        self.message = message
        super().__init__(f"{kind}: {message}")


class RowBuffer:
    """Gathers up to `max_rows` rows; one more row makes it `truncated`.

    `add` raises ReadFailure("result") once the rows pass `max_result_bytes`.
    """

    def __init__(self, columns: Sequence[str], max_rows: int, max_result_bytes: int) -> None:
        self.columns = list(columns)
        self.rows: list[list[Scalar]] = []
        self.truncated = False
        self._max_rows, self._bytes_left = max_rows, max_result_bytes

    def add(self, row: Sequence[object]) -> bool:
        """True while the caller may bring another row."""
        if len(self.rows) == self._max_rows:
            self.truncated = True
            return False
        values = [json_value(value) for value in row]
        self._bytes_left -= sum(map(size_bytes, values))
        if self._bytes_left < 0:
            raise ReadFailure("result")
        self.rows.append(values)
        return True


class Reader(Protocol):
    def ping(self) -> None:
        """Raises ReadFailure("unavailable") where the database cannot be opened or read."""

    def read(self, sql: str, max_rows: int) -> RowBuffer:
        """Runs one statement. Raises ReadFailure."""

    def close(self) -> None: ...
