"""Reads PostgreSQL in transactions that cannot write and always roll back.

A statement runs as a server-side cursor over the extended protocol: that protocol takes one statement only, and
DECLARE takes nothing but a query, so that neither `; COMMIT; DELETE …` nor a CTE that writes gets through even
where the policy was fooled. Values arrive as PostgreSQL's text; booleans and numbers become JSON's, all else stays
the text that the server wrote (dates ISO, bytea hex, arrays and JSON as they print).

Sources: https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY,
https://www.postgresql.org/docs/current/sql-declare.html, https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from decimal import Decimal

import psycopg
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from gateway.sql_reader import ReadFailure, ReadLimits, RowBuffer

_BATCH_ROWS = 200
_CURSOR = b"kvasir_statement"
_BOOL, _FLOATS, _INTS, _NUMERIC = 16, frozenset({700, 701}), frozenset({20, 21, 23, 26}), 1700
_CONNECT_SECONDS = 5


class PostgresReader:
    """Holds one connection and opens it again where the server dropped it."""

    def __init__(self, connection: Mapping[str, str], limits: ReadLimits) -> None:
        self._parameters = dict(connection)
        self._limits = limits
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None

    def ping(self) -> None:
        self._begin()
        self._roll_back()

    def read(self, sql: str, max_rows: int) -> RowBuffer:
        deadline = time.monotonic() + self._limits.timeout_seconds
        pgconn = self._begin()
        try:
            query = sql.encode()
            _execute(pgconn, b"DECLARE " + _CURSOR + b" NO SCROLL CURSOR WITHOUT HOLD FOR " + query)
            return self._fetch(pgconn, max_rows, deadline)
        finally:
            self._roll_back()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _fetch(self, pgconn: PGconn, max_rows: int, deadline: float) -> RowBuffer:
        rows: RowBuffer | None = None
        while True:
            fetch = b"FETCH FORWARD %d FROM " % min(_BATCH_ROWS, max_rows + 1)
            batch = _execute(pgconn, fetch + _CURSOR)
            if rows is None:
                columns = [_text(batch.fname(index)) for index in range(batch.nfields)]
                rows = RowBuffer(columns, max_rows, self._limits.max_result_bytes)
            for row in range(batch.ntuples):
                if not rows.add([_value(batch, row, index) for index in range(batch.nfields)]):
                    return rows
            if batch.ntuples == 0:
                return rows
            # statement_timeout starts anew with each FETCH; the statement has one clock.
            if time.monotonic() > deadline:
                raise ReadFailure("time")

    def _begin(self) -> PGconn:
        """Opens a transaction; once more on a new connection where the server had closed the old one."""
        for attempt in (1, 2):
            pgconn = self._connected()
            try:
                _execute(pgconn, b"BEGIN TRANSACTION READ ONLY")
            except ReadFailure as failure:
                self.close()
                if failure.kind != "unavailable" or attempt == 2:
                    raise
            else:
                break
        return pgconn

    def _roll_back(self) -> None:
        """Ends the transaction, and with it every setting the statement made. Advisory locks outlive it."""
        if self._connection is None:
            return
        try:
            _execute(self._connection.pgconn, b"ROLLBACK")
            _execute(self._connection.pgconn, b"SELECT pg_catalog.pg_advisory_unlock_all()")
        except ReadFailure:
            self.close()

    def _connected(self) -> PGconn:
        if self._connection is not None and self._connection.pgconn.status == ConnStatus.OK:
            return self._connection.pgconn
        self.close()
        parameters: dict[str, str | int] = {"connect_timeout": _CONNECT_SECONDS, **self._parameters}
        parameters["client_encoding"] = "UTF8"
        try:
            self._connection = psycopg.connect(autocommit=True, **parameters)  # type: ignore[arg-type]
        except psycopg.Error as exc:
            raise ReadFailure("unavailable", " ".join(str(exc).split())) from exc
        self._confine(self._connection.pgconn)
        return self._connection.pgconn

    def _confine(self, pgconn: PGconn) -> None:
        milliseconds = max(1, round(self._limits.timeout_seconds * 1000))
        settings = {
            "default_transaction_read_only": "on",
            "statement_timeout": milliseconds,
            "lock_timeout": milliseconds,
            "idle_in_transaction_session_timeout": milliseconds + 5_000,
            # A cursor is planned for its first rows only, unless told that all will be read.
            "cursor_tuple_fraction": "1.0",
            "DateStyle": "'ISO, YMD'",
            "IntervalStyle": "postgres",
            "bytea_output": "hex",
            "client_min_messages": "error",
        }
        for name, value in settings.items():
            _execute(pgconn, f"SET {name} = {value}".encode())
        if pgconn.server_version >= 140000:
            # Ends the backend's work once this process was killed; not every platform has it.
            pgconn.exec_(b"SET client_connection_check_interval = 1000")


def _execute(pgconn: PGconn, command: bytes) -> PGresult:
    """Runs exactly one statement: exec_params speaks the extended protocol. Raises ReadFailure."""
    try:
        result = pgconn.exec_params(command, None)
    except psycopg.Error as exc:
        raise ReadFailure("unavailable", " ".join(str(exc).split())) from exc
    if result.status in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
        return result
    raise _failure(pgconn, result)


def _failure(pgconn: PGconn, result: PGresult) -> ReadFailure:
    sqlstate = _text(result.error_field(DiagnosticField.SQLSTATE))
    message = _text(result.error_field(DiagnosticField.MESSAGE_PRIMARY)) or _text(result.error_message).strip()
    hint = _text(result.error_field(DiagnosticField.MESSAGE_HINT))
    if hint:
        message = f"{message} ({hint})"
    if sqlstate in ("57014", "55P03"):  # query_canceled (by statement_timeout), lock_not_available
        return ReadFailure("time", message)
    if sqlstate.startswith(("53", "54")) or (not sqlstate and "memory" in message):
        return ReadFailure("memory", message)  # insufficient resources, a program limit, libpq out of memory
    if sqlstate == "25006" or message.startswith(("DECLARE CURSOR", "cannot insert multiple commands")):
        return ReadFailure("refused", message)
    if pgconn.status != ConnStatus.OK or sqlstate.startswith(("08", "57P")):
        return ReadFailure("unavailable", message or "the server closed the connection")
    return ReadFailure("failed", message)


def _value(batch: PGresult, row: int, index: int) -> object:
    raw = batch.get_value(row, index)
    if raw is None:
        return None
    text, kind = _text(raw), batch.ftype(index)
    if kind == _BOOL:
        return text == "t"
    if kind in _INTS:
        return int(text)
    if kind in _FLOATS:
        return float(text)
    return Decimal(text) if kind == _NUMERIC else text


def _text(raw: bytes | None) -> str:
    return "" if raw is None else raw.decode("utf-8", "replace")
