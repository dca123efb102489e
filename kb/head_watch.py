"""Being told that a branch may have moved: by PostgreSQL's NOTIFY, on SQLite by polling.

`SqlStore.write` notifies in the transaction that moves a branch, so nobody is told before the move can be read.
"""

from __future__ import annotations

import time
from typing import Any, Protocol

import psycopg
from psycopg import sql
from sqlalchemy import Engine

CHANNEL = "kvasir_heads"
POLL_SECONDS = 0.25
"""Between two looks at a SQLite file."""


class HeadWatch(Protocol):
    def wait(self, seconds: float) -> bool:
        """Whether a branch may have moved since the last call; waits for it, at most so long.

        What moves during a call or between two is never missed; nothing may have moved although it says so.
        """

    def close(self) -> None: ...


def watch_heads(database: Engine) -> HeadWatch:
    """Uses a connection of its own, until it is closed. Raises SQLAlchemy's errors where the database is away."""
    return _PostgresWatch(database) if database.dialect.name == "postgresql" else _SqliteWatch(database)


class _PostgresWatch:
    def __init__(self, database: Engine) -> None:
        self._database = database
        self._connection: psycopg.Connection[Any] | None = self._listen()

    def wait(self, seconds: float) -> bool:
        if self._connection is None:
            # What was sent meanwhile is lost, so whoever comes back has to look.
            self._connection = self._listen()
            return True
        try:
            return any(True for _ in self._connection.notifies(timeout=seconds, stop_after=1))
        except psycopg.OperationalError:
            self.close()
            time.sleep(seconds)
            return True

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _listen(self) -> psycopg.Connection[Any]:
        connection = _own_connection(self._database)
        try:
            connection.autocommit = True
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
        except BaseException:
            connection.close()
            raise
        listening: psycopg.Connection[Any] = connection
        return listening


class _SqliteWatch:
    """`PRAGMA data_version` changes when another connection has committed anything, in this process or another."""

    def __init__(self, database: Engine) -> None:
        self._connection = _own_connection(database)
        self._version = self._read()
        self._moved = 0.0

    def wait(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        # Every trace that is stored moves the file, too: so many looks a second are enough, however many there are.
        time.sleep(max(0.0, min(seconds, self._moved + POLL_SECONDS - time.monotonic())))
        while (version := self._read()) == self._version:
            left = until - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(left, POLL_SECONDS))
        self._version, self._moved = version, time.monotonic()
        return True

    def close(self) -> None:
        self._connection.close()

    def _read(self) -> int:
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return int(version)


def _own_connection(database: Engine) -> Any:
    """The driver's own, taken out of the pool."""
    pooled = database.raw_connection()
    connection = pooled.driver_connection
    pooled.detach()
    return connection
