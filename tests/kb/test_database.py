from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, insert, inspect, select, text
from sqlalchemy.exc import IntegrityError

import gateway.tables
import kb.tables
from kb.database import check_version, insert_missing, open_database, transaction, upgrade, wanted_version
from kb.errors import SchemaBehind
from kb.tables import bases, refs


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/a folder/state.sqlite"
    fresh: str = request.getfixturevalue("fresh_postgres")
    return fresh


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = open_database(url)
    yield engine
    engine.dispose()


def test_migrating_from_empty_gives_the_tables_that_the_code_declares(engine: Engine) -> None:
    upgrade(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        declared = [kb.tables.metadata, gateway.tables.metadata]
        assert compare_metadata(context, declared) == []  # type: ignore[arg-type]


def test_an_upgrade_says_the_version_and_can_be_repeated(engine: Engine) -> None:
    assert upgrade(engine) == wanted_version()
    with transaction(engine) as connection:
        connection.execute(insert(bases).values(tenant="acme", name="sales"))
    assert upgrade(engine) == wanted_version()
    with engine.connect() as connection:
        assert connection.scalars(select(bases.c.name)).all() == ["sales"]
    check_version(engine, "kvasir upgrade")


def test_an_empty_database_is_refused_with_the_version_wanted_and_the_command(engine: Engine) -> None:
    with pytest.raises(SchemaBehind) as caught:
        check_version(engine, "kvasir upgrade")
    assert (caught.value.found, caught.value.wanted) == (None, wanted_version())
    message = str(caught.value)
    assert "is empty" in message
    assert f"needs version {wanted_version()}" in message
    assert message.endswith("run: kvasir upgrade")


def test_a_database_of_another_version_is_refused_with_both_versions(engine: Engine) -> None:
    upgrade(engine)
    with transaction(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'older'"))
    with pytest.raises(SchemaBehind) as caught:
        check_version(engine, "kvasir upgrade")
    assert f"at version older, this Kvasir needs version {wanted_version()}; run: kvasir upgrade" in str(caught.value)


def test_the_message_shows_no_password(fresh_postgres: str) -> None:
    engine = open_database(fresh_postgres)
    engine.url = engine.url.set(password="hunter2")
    with pytest.raises(SchemaBehind) as caught:
        check_version(engine, "kvasir upgrade")
    assert "hunter2" not in str(caught.value)
    engine.dispose()


UPGRADER = """
import sys
from kb.database import open_database, upgrade

engine = open_database(sys.argv[1])
sys.stdin.readline()
upgrade(engine)
"""


def test_processes_may_upgrade_at_once(url: str, engine: Engine) -> None:
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", UPGRADER, url]
    upgraders = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ)
        for _ in range(3)
    ]
    complaints = [upgrader.communicate("go\n")[1] for upgrader in upgraders]
    assert [upgrader.returncode for upgrader in upgraders] == [0, 0, 0], complaints
    check_version(engine, "kvasir upgrade")


def test_an_upgrade_that_fails_leaves_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("power cut")

    monkeypatch.setattr(MigrationContext, "_ensure_version_table", fail)
    with pytest.raises(RuntimeError):
        upgrade(engine)
    assert inspect(engine).get_table_names() == []


def test_a_transaction_that_fails_keeps_nothing(engine: Engine) -> None:
    upgrade(engine)

    def fail() -> None:
        with transaction(engine) as connection:
            connection.execute(insert(bases).values(tenant="acme", name="sales"))
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        fail()
    with engine.connect() as connection:
        assert connection.scalars(select(bases.c.name)).all() == []


def test_inserting_what_is_missing_counts_and_leaves_what_is_there(engine: Engine) -> None:
    upgrade(engine)
    with transaction(engine) as connection:
        connection.execute(insert(bases).values(id=1, tenant="acme", name="sales"))
        row = {"base_id": 1, "ref": "heads/main", "commit_id": "a"}
        assert insert_missing(connection, refs, [row]) == 1
        assert insert_missing(connection, refs, [{**row, "commit_id": "b"}]) == 0
        assert insert_missing(connection, refs, []) == 0
        insert_missing(connection, refs, [{**row, "ref": f"heads/{name}"} for name in ("main", "x", "y")])
        assert connection.scalars(select(refs.c.ref).order_by(refs.c.ref)).all() == ["heads/main", "heads/x", "heads/y"]
        assert connection.scalars(select(refs.c.commit_id).distinct()).all() == ["a"]


def test_a_row_of_an_unknown_base_is_refused_by_the_database(engine: Engine) -> None:
    upgrade(engine)
    with pytest.raises(IntegrityError, match=r"(?i)foreign key"), transaction(engine) as connection:
        insert_missing(connection, refs, [{"base_id": 99, "ref": "heads/main", "commit_id": "a"}])


def test_sqlite_readers_do_not_wait_for_a_writer(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/state.sqlite")
    upgrade(engine)
    with transaction(engine) as writer:
        writer.execute(insert(bases).values(tenant="acme", name="sales"))
        with engine.connect() as reader:
            assert reader.scalars(select(bases.c.name)).all() == []
    with engine.connect() as reader:
        assert reader.scalars(select(bases.c.name)).all() == ["sales"]
    engine.dispose()


def test_a_postgres_url_without_a_driver_uses_ours(fresh_postgres: str) -> None:
    engine = open_database(fresh_postgres.replace("postgresql+psycopg", "postgresql"))
    assert engine.driver == "psycopg"
    engine.dispose()
