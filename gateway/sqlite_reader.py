"""Reads a SQLite file that cannot be written: opened `mode=ro`, `query_only`, and under an authorizer that lets
only SELECT through. The file is opened afresh for each statement (a fraction of a millisecond), so that a file
which was replaced is read as it is now.

Sources: https://www.sqlite.org/security.html, https://www.sqlite.org/c3ref/set_authorizer.html
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.sql_reader import ReadFailure, ReadLimits, RowBuffer

# They load code, read or write files, or run SQL that this module would not see.
DENIED_FUNCTIONS = frozenset(
    {
        "load_extension", "readfile", "writefile", "edit", "fts3_tokenizer", "fsdir", "lsdir", "lsmode",
        "eval", "system", "shell", "sha3_query", "zipfile", "sqlar_compress", "sqlar_uncompress", "sqlite_dbpage",
        "sqlite_dbdata", "sqlite_dbptr", "carray", "define", "undefine", "readlink", "getenv",
    }
)  # fmt: skip
DENIED_PREFIXES = ("pragma_", "sqlite_rename_", "sqlite_drop_", "sqlite_attach", "sqlite_detach")

# Full-text tables ask for these themselves while they are read; with no argument they change nothing.
_INNER_PRAGMAS = frozenset({"data_version", "page_size"})
_ALLOWED_ACTIONS = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE})
_OPS_BETWEEN_CLOCK_READS = 20_000
_BUSY_SECONDS = 2.0


def is_denied_function(name: str) -> bool:
    lowered = name.lower()
    return lowered in DENIED_FUNCTIONS or lowered.startswith(DENIED_PREFIXES)


class SqliteReader:
    def __init__(self, path: str, limits: ReadLimits) -> None:
        self._path = Path(path)
        self._limits = limits
        self._denied: str | None = None

    def ping(self) -> None:
        with self._connection() as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()

    def read(self, sql: str, max_rows: int) -> RowBuffer:
        with self._connection() as connection:
            cursor = connection.execute(sql)
            if cursor.description is None:
                raise ReadFailure("refused", "the statement returns no rows")
            columns = [column[0] for column in cursor.description]
            rows = RowBuffer(columns, max_rows, self._limits.max_result_bytes)
            for row in cursor:
                if not rows.add(row):
                    break
            return rows

    def close(self) -> None:
        """Nothing stays open between statements."""

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        self._denied = None
        try:
            is_file = self._path.is_file()
        except OSError as exc:
            raise ReadFailure("unavailable", f"{self._path} cannot be read ({exc.strerror})") from exc
        if not is_file:
            raise ReadFailure("unavailable", f"there is no file {self._path}")
        connection: sqlite3.Connection | None = None
        try:
            # as_uri quotes '?' and '#', which would otherwise end the path and its mode=ro with it.
            uri = f"{self._path.as_uri()}?mode=ro"
            wait_seconds = min(_BUSY_SECONDS, self._limits.timeout_seconds)
            connection = sqlite3.connect(uri, uri=True, timeout=wait_seconds, isolation_level=None)
            self._confine(connection)
            yield connection
        except sqlite3.Error as exc:
            raise self._failure(exc) from exc
        except sqlite3.Warning as exc:  # Python 3.11's word for a second statement
            raise ReadFailure("refused", str(exc)) from exc
        finally:
            if connection is not None:
                connection.close()

    def _confine(self, connection: sqlite3.Connection) -> None:
        limits = self._limits
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        # Reads the header: a statement without a table would never notice that the file is no database.
        connection.execute("PRAGMA schema_version").fetchone()
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA trusted_schema = OFF")
        # Sorting on disk would be out of the memory limit's reach.
        connection.execute("PRAGMA temp_store = MEMORY")
        # SQLite's own limit comes first and ends in an error instead of a dead process.
        connection.execute(f"PRAGMA hard_heap_limit = {limits.max_memory_bytes * 3 // 4}")
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, limits.max_memory_bytes // 4)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.setlimit(sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_000)
        connection.set_authorizer(self._authorize)
        deadline = time.monotonic() + limits.timeout_seconds
        connection.set_progress_handler(lambda: time.monotonic() > deadline, _OPS_BETWEEN_CLOCK_READS)

    def _authorize(
        self, action: int, first: str | None, second: str | None, _database: str | None, _trigger: str | None
    ) -> int:
        if action in _ALLOWED_ACTIONS:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and second is not None and not is_denied_function(second):
            return sqlite3.SQLITE_OK
        # How SQLite declares a virtual table (json_each, full text) as it is first read. A statement cannot: SQLite
        # keeps sqlite_master from statements, and the file from everybody.
        if action == sqlite3.SQLITE_UPDATE and first == "sqlite_master":
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_PRAGMA and first in _INNER_PRAGMAS and second is None:
            return sqlite3.SQLITE_OK
        what = f"function {second}" if action == sqlite3.SQLITE_FUNCTION else f"action {action} on {first}"
        self._denied = f"the database did not authorize {what}"
        return sqlite3.SQLITE_DENY

    def _failure(self, error: sqlite3.Error) -> ReadFailure:
        # The primary code; an error that the sqlite3 module raised itself has none.
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if self._denied is not None:
            return ReadFailure("refused", self._denied)
        if code == sqlite3.SQLITE_INTERRUPT:
            return ReadFailure("time")
        if code == sqlite3.SQLITE_TOOBIG:
            return ReadFailure("memory", str(error))
        if code == sqlite3.SQLITE_READONLY or isinstance(error, sqlite3.ProgrammingError):
            return ReadFailure("refused", str(error))
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return ReadFailure("unavailable", f"{self._path} is locked by a writer")
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR):
            return ReadFailure("unavailable", f"{self._path} cannot be read ({error})")
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            return ReadFailure("unavailable", f"{self._path} is not a readable SQLite database ({error})")
        return ReadFailure("failed", str(error))
