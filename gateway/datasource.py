"""A database that answers can be checked against, always read-only: step 8 in the life of a request.

A statement passes three fences: the policy (`sql_policy.py`) on its parsed tree; a worker process with limits of
time, memory and size (`sql_worker.py`); and a database opened so that it cannot be written (`sqlite_reader.py`,
`postgres_reader.py`). Give a PostgreSQL datasource a role that may only SELECT: that is the fourth, and the one
that nothing in this process can weaken.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from gateway.errors import (
    ConfigError,
    DatasourceError,
    DatasourceUnavailable,
    StatementFailed,
    StatementLimit,
    StatementRefused,
)
from gateway.sql_policy import CheckedStatement, check_statement
from gateway.sql_process import PoolBusy, PoolClosed, SqlProcess, SqlProcessPool, WorkerEnded, WorkerTimeout
from gateway.sql_wire import Frame

WORKERS = 4
_START_SECONDS = 30.0
# The worker stops a statement itself at timeout_seconds; what still runs this much later is killed. A connection
# to a server may have to be opened first.
_GRACE_SECONDS = {"sqlite": 1.0, "postgres": 7.0}
_ALLOWED_URLS = "use sqlite:///PATH or postgresql://USER:PASSWORD@HOST:PORT/DATABASE"


@dataclass(frozen=True)
class DatasourceConfig:
    """`url` is kept out of the repr because it may hold a password.

    Raises ConfigError for a limit that cannot be met, naming the setting.
    """

    name: str
    url: str = field(repr=False)
    max_rows: int = 1000
    timeout_seconds: float = 10.0
    max_memory_mb: int = 512
    max_result_bytes: int = 8_000_000

    def __post_init__(self) -> None:
        # Below 64 MB Python and libpq alone do not fit.
        least = {"max_rows": 1, "timeout_seconds": 0.001, "max_memory_mb": 64, "max_result_bytes": 1}
        for setting, minimum in least.items():
            value = getattr(self, setting)
            if value < minimum:
                raise ConfigError(f"datasources.{self.name}.{setting}", value, f"use {minimum} or more")


@dataclass(frozen=True)
class ResultTable:
    """`rows` hold None, bool, int, float and str only (see `sql_wire.json_value`), whatever the database.

    `truncated` means that the database had more rows than were asked for.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    truncated: bool
    elapsed_seconds: float


class Datasource:
    """Thread-safe. Starts no process before the first statement; `close` ends them all.

    Raises ConfigError where the URL is none that we can read.
    """

    def __init__(self, config: DatasourceConfig) -> None:
        self.config = config
        self.dialect, self._target = _target(config)
        self._pool = SqlProcessPool(self._start, WORKERS)

    def __enter__(self) -> Datasource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def check(self, sql: str, *, schemas: Mapping[str, Collection[str]] | None = None) -> CheckedStatement:
        """Parses `sql` and applies the policy; with `schemas` (columns by table) its names are checked as well.

        Runs nothing. Raises StatementRefused.
        """
        return check_statement(sql, dialect=self.dialect, datasource=self.config.name, schemas=schemas)

    def run(self, sql: str, *, max_rows: int | None = None) -> ResultTable:
        """Checks `sql` and runs it. `max_rows` can lower the configured limit, not raise it.

        Raises StatementRefused, StatementFailed, StatementLimit, DatasourceUnavailable.
        """
        if max_rows is not None and max_rows < 1:
            raise ValueError(f"max_rows is {max_rows}; use 1 or more")
        statement = self.check(sql)
        rows_limit = self.config.max_rows if max_rows is None else min(max_rows, self.config.max_rows)
        with self._worker() as worker:
            started = time.monotonic()
            request = {"op": "run", "sql": statement.sql, "max_rows": rows_limit}
            reply = worker.call(request, self.config.timeout_seconds + _GRACE_SECONDS[self.dialect])
            elapsed_seconds = time.monotonic() - started
        self._raise_failure(reply)
        return ResultTable(
            columns=tuple(reply["columns"]),
            rows=tuple(map(tuple, reply["rows"])),
            truncated=bool(reply["truncated"]),
            elapsed_seconds=elapsed_seconds,
        )

    def ping(self) -> None:
        """Opens the database and reads from it. Raises DatasourceUnavailable."""
        with self._worker() as worker:
            reply = worker.call({"op": "ping"}, self.config.timeout_seconds + _GRACE_SECONDS[self.dialect])
        self._raise_failure(reply)

    def close(self) -> None:
        """Ends the workers, and with them any statement that still runs."""
        self._pool.close()

    @contextmanager
    def _worker(self) -> Iterator[SqlProcess]:
        name, limit = self.config.name, self.config.timeout_seconds
        try:
            with self._pool.lease(limit + _START_SECONDS) as worker:
                yield worker
        except WorkerTimeout as exc:
            raise self._timed_out() from exc
        except WorkerEnded as exc:
            raise self._died(exc) from exc
        except PoolBusy as exc:
            raise DatasourceUnavailable(
                name, f"all {exc.size} of its workers are busy; try again, or lower timeout_seconds"
            ) from exc
        except PoolClosed as exc:
            raise DatasourceUnavailable(name, "it was closed; the gateway is stopping") from exc

    def _start(self) -> SqlProcess:
        try:
            worker = SqlProcess()
        except OSError as exc:
            raise DatasourceUnavailable(
                self.config.name, f"its worker process cannot be started ({exc.strerror}); free memory or processes"
            ) from exc
        opening: Frame = {
            "op": "open",
            **self._target,
            "timeout_seconds": self.config.timeout_seconds,
            "max_memory_bytes": self.config.max_memory_mb << 20,
            "max_result_bytes": self.config.max_result_bytes,
        }
        try:
            reply = worker.call(opening, _START_SECONDS)
            self._raise_failure(reply)
        except (WorkerTimeout, WorkerEnded, DatasourceError):
            worker.close()
            raise
        return worker

    def _raise_failure(self, reply: Frame) -> None:
        if "failure" not in reply:
            return
        name, config, message = self.config.name, self.config, str(reply["message"])
        match reply["failure"]:
            case "unavailable":
                raise DatasourceUnavailable(name, f"{message}; {self._unavailable_hint()}")
            case "refused":
                raise StatementRefused(name, f"{message}; it is read-only: send one SELECT")
            case "time":
                raise self._timed_out()
            case "memory":
                raise self._out_of_memory(message)
            case "result":
                raise StatementLimit(
                    name,
                    f"the result is larger than max_result_bytes = {config.max_result_bytes}; select fewer columns "
                    f"or rows, or raise max_result_bytes under [datasources.{name}]",
                )
            case _:
                raise StatementFailed(name, f"{message}; correct the statement and run it again")

    def _unavailable_hint(self) -> str:
        if self.dialect == "sqlite":
            return f"check url under [datasources.{self.config.name}] and that the gateway may read the file"
        return f"check that the server runs and that url under [datasources.{self.config.name}] is right"

    def _timed_out(self) -> StatementLimit:
        name, limit = self.config.name, self.config.timeout_seconds
        return StatementLimit(
            name,
            f"the statement was stopped after timeout_seconds = {limit:g}; narrow it (a condition on a date, "
            f"fewer joins), or raise timeout_seconds under [datasources.{name}]",
        )

    def _out_of_memory(self, message: str = "") -> StatementLimit:
        name, limit = self.config.name, self.config.max_memory_mb
        words = f" ({message})" if message else ""
        return StatementLimit(
            name,
            f"the statement ran out of memory{words}; select less at once, or raise max_memory_mb = {limit} "
            f"under [datasources.{name}]",
        )

    def _died(self, end: WorkerEnded) -> DatasourceError:
        # Aborts of C code that was denied memory; a Python worker says so in its last line.
        if end.returncode in (-6, -7, -11) or "memory" in end.last_line.lower():
            return self._out_of_memory()
        how = f"signal {-end.returncode}" if end.returncode < 0 else f"exit status {end.returncode}"
        words = f": {end.last_line}" if end.last_line else ""
        return DatasourceUnavailable(
            self.config.name, f"its worker process was ended by {how}{words}; nothing was changed, run it again"
        )


def _target(config: DatasourceConfig) -> tuple[str, dict[str, Any]]:
    """The sqlglot dialect, and what a worker needs to open the database."""
    setting, url = f"datasources.{config.name}.url", _parsed(config)
    if url.drivername == "sqlite":
        if not url.database or url.database == ":memory:" or url.host or url.query:
            raise ConfigError(
                setting, url.render_as_string(), "name a file: sqlite:///relative.db or sqlite:////absolute.db"
            )
        return "sqlite", {"kind": "sqlite", "target": str(Path(url.database).absolute())}
    if url.drivername in ("postgresql", "postgresql+psycopg"):
        options = {key: value if isinstance(value, str) else ",".join(value) for key, value in url.query.items()}
        connection = url.translate_connect_args(username="user", database="dbname")
        return "postgres", {
            "kind": "postgres",
            "target": {**options, **{key: str(value) for key, value in connection.items()}},
        }
    raise ConfigError(setting, f"{url.drivername}://…", _ALLOWED_URLS)


def _parsed(config: DatasourceConfig) -> URL:
    try:
        return make_url(config.url)
    except (ArgumentError, ValueError):
        # Neither the value nor the cause is shown: both may hold a password.
        raise ConfigError(f"datasources.{config.name}.url", "…", _ALLOWED_URLS) from None
