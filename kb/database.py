"""The state database: how it is opened, how it is written to, and which schema version it must be at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import alembic.command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, make_url

from kb.errors import SchemaBehind

_WRITES = "kvasir_writes"


def open_database(url: str) -> Engine:
    """An engine for `sqlite:///PATH` or `postgresql+psycopg://…`; a SQLite file's folder is made."""
    parsed = make_url(url)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True)
    if parsed.database and parsed.database != ":memory:":
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
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


def upgrade(engine: Engine) -> str:
    """Bring the database to this Kvasir's schema version, and return that version. Repeatable."""
    with transaction(engine) as connection:
        config = _alembic_config()
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, "head")
    return wanted_version()


def check_version(engine: Engine, command: str) -> None:
    """Raise `SchemaBehind`, naming `command`, unless the database is at this Kvasir's version."""
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found != wanted_version():
        shown = engine.url.render_as_string(hide_password=True)
        raise SchemaBehind(shown, found, wanted_version(), command)


def wanted_version() -> str:
    head = ScriptDirectory.from_config(_alembic_config()).get_current_head()
    assert head is not None, "migrations/ holds no revision"
    return head


def _alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(resources.files("migrations")))
    return config


def _configure_sqlite(connection: Any, _record: object) -> None:
    # The driver's own transaction handling is turned off, so that `_begin_sqlite` decides how one begins.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
