"""The state database: how it is opened, how it is written to, and which schema version it must be at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import alembic.command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, CursorResult, Engine, Executable, Table, create_engine, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite

from kb.errors import SchemaBehind

_WRITES = "kvasir_writes"
_UPGRADE_LOCK = 0x6B766173


def open_database(url: str) -> Engine:
    """An engine for `sqlite:///PATH` or `postgresql+psycopg://…`. Opens nothing yet."""
    parsed = make_url(url)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True)
    engine = create_engine(parsed, connect_args={"timeout": 30})
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """The one way to write: commits at the end, rolls back on any error.

    On SQLite it takes the write lock at once, since a reader that turns writer midway fails under concurrency.
    """
    with engine.connect().execution_options(**{_WRITES: True}) as connection, connection.begin():
        yield connection


def insert_missing(connection: Connection, table: Table, rows: Sequence[Mapping[str, object]]) -> int:
    """Insert the rows whose key is new and leave the others; a call with one row gives how many were inserted."""
    if not rows:
        return 0
    # Sorted, so that two writers of the same keys take their locks in one order.
    ordered = sorted(rows, key=lambda row: [str(row[column.name]) for column in table.primary_key])
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    # Without the option, SQLAlchemy drops an INSERT's row count on PostgreSQL and gives -1.
    statement = dialect.insert(table).on_conflict_do_nothing().execution_options(preserve_rowcount=True)
    result: CursorResult[Any] = connection.execute(statement, ordered if len(ordered) > 1 else ordered[0])
    return int(result.rowcount)


def insert_or_replace(connection: Connection, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert the rows; one whose key is there takes the place of what was there."""
    ordered = sorted(rows, key=lambda row: [str(row[column.name]) for column in table.primary_key])
    connection.execute(_replacing(table, connection.dialect.name), ordered)


@lru_cache
def _replacing(table: Table, dialect_name: str) -> Executable:
    """Kept, since to put it together takes as long as to run it."""
    dialect = postgresql if dialect_name == "postgresql" else sqlite
    statement = dialect.insert(table)
    key = list(table.primary_key)
    others = {column.name: statement.excluded[column.name] for column in table.columns if column not in key}
    replacing: Executable = statement.on_conflict_do_update(index_elements=key, set_=others)
    return replacing


def upgrade(engine: Engine) -> str:
    """Bring the database to this Kvasir's schema version, and return that version. Repeatable.

    A SQLite file is made, with its folder.
    """
    if (file := _sqlite_file(engine)) is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    with transaction(engine) as connection:
        if engine.dialect.name == "postgresql":
            # Several replicas may start at once; SQLite's write lock does this by itself.
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
        config = _alembic_config()
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, "head")
    return wanted_version()


def check_version(engine: Engine, command: str) -> None:
    """Raise `SchemaBehind`, naming `command`, unless the database is at this Kvasir's version."""
    found = None
    # A missing SQLite file is not opened, because that would make it.
    if (file := _sqlite_file(engine)) is None or file.exists():
        with engine.connect() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
    if found != wanted_version():
        shown = engine.url.render_as_string(hide_password=True)
        raise SchemaBehind(shown, found, wanted_version(), command)


@contextmanager
def checked_database(url: str, command: str) -> Iterator[Engine]:
    """The database at this Kvasir's version, closed at the end. Raises `SchemaBehind`, which names `command`."""
    database = open_database(url)
    try:
        check_version(database, command)
        yield database
    finally:
        database.dispose()


def wanted_version() -> str:
    head = ScriptDirectory.from_config(_alembic_config()).get_current_head()
    assert head is not None, "migrations/ holds no revision"
    return head


def _sqlite_file(engine: Engine) -> Path | None:
    name = engine.url.database
    return Path(name) if engine.dialect.name == "sqlite" and name and name != ":memory:" else None


def _alembic_config() -> Config:
    config = Config()
    # The option is subject to %-interpolation.
    config.set_main_option("script_location", str(resources.files("migrations")).replace("%", "%%"))
    return config


def _configure_sqlite(connection: Any, _record: object) -> None:
    # The driver's own transaction handling is turned off, so that `_begin_sqlite` decides how one begins.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
