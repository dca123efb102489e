"""Statements that write, past the policy: the fences behind it hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from gateway.datasource import Datasource
from gateway.errors import (
    StatementRefused,
)
from gateway.sql_process import SqlProcess

from .sources import libpq

WRITES = [
    "DELETE FROM orders",
    "UPDATE orders SET state = 'gone'",
    "INSERT INTO orders (state) VALUES ('new')",
    "DROP TABLE orders",
    "CREATE TABLE other (a int)",
    "SELECT 1; DELETE FROM orders",
    "COMMIT; DELETE FROM orders",
]


SQLITE_WRITES = [
    *WRITES,
    "PRAGMA query_only = OFF",
    "PRAGMA writable_schema = ON",
    "PRAGMA user_version = 3",
    "UPDATE sqlite_master SET sql = ''",
    "ATTACH ':memory:' AS other",
    "VACUUM INTO 'copy.sqlite'",
    "BEGIN IMMEDIATE",
    "CREATE TEMP TABLE t (a)",
    "REINDEX",
    "SELECT load_extension('x')",
    "SELECT fts3_tokenizer('simple')",
    "INSERT INTO notes (notes) VALUES ('rebuild')",
]


POSTGRES_WRITES = [
    *WRITES,
    "WITH gone AS (DELETE FROM orders RETURNING id) SELECT id FROM gone",
    "SELECT id INTO copied FROM orders",
    "SELECT nextval('orders_id_seq')",
    "SELECT setval('orders_id_seq', 1)",
    "SELECT * FROM orders FOR UPDATE",
    "SELECT set_config('transaction_read_only', 'off', false)",
    "SELECT query_to_xml('DELETE FROM orders', true, true, '')",
    "SET default_transaction_read_only = off",
    "COPY orders TO PROGRAM 'cat'",
    "ROLLBACK; DELETE FROM orders",
    "SELECT 1; ROLLBACK; SET default_transaction_read_only = off; DELETE FROM orders",
    "TRUNCATE orders",
    "DO $$ BEGIN DELETE FROM orders; END $$",
]


class TestWritingPastThePolicy:
    """The statement goes to the worker itself, as if the policy had let it through."""

    @pytest.fixture
    def send(self) -> Iterator[Callable[[Datasource, str], dict[str, object]]]:
        started: list[SqlProcess] = []

        def send(source: Datasource, sql: str) -> dict[str, object]:
            worker = source._start()
            started.append(worker)
            return worker.call({"op": "run", "sql": sql, "max_rows": 10}, 30)

        yield send
        for worker in started:
            worker.close()

    @pytest.mark.parametrize("sql", SQLITE_WRITES)
    def test_sqlite_refuses(self, sqlite_source: Datasource, database: Path, send, sql: str) -> None:
        before = database.read_bytes()
        assert send(sqlite_source, sql)["failure"] in ("refused", "failed")
        assert database.read_bytes() == before
        assert [path.name for path in database.parent.iterdir()] == [database.name]

    @pytest.mark.parametrize("sql", POSTGRES_WRITES)
    def test_postgres_refuses(self, postgres_source: Datasource, postgres_orders: str, send, sql: str) -> None:
        assert send(postgres_source, sql)["failure"] in ("refused", "failed")
        with psycopg.connect(libpq(postgres_orders)) as connection:
            assert connection.execute("SELECT count(*), max(state) FROM orders").fetchone() == (3000, "paid")
            tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
            assert connection.execute(tables).fetchone() == (1,)
            assert connection.execute("SELECT last_value FROM orders_id_seq").fetchone() == (3000,)

    def test_postgres_settings_end_with_the_statement(self, postgres_source: Datasource) -> None:
        worker = postgres_source._start()
        for sql in (
            "SELECT set_config('statement_timeout', '0', false), set_config('search_path', 'nowhere', false)",
            "SELECT pg_advisory_lock(42)",
        ):
            assert "failure" not in worker.call({"op": "run", "sql": sql, "max_rows": 10}, 30)
        state = (
            "SELECT current_setting('statement_timeout'), current_setting('default_transaction_read_only'), "
            "current_setting('transaction_read_only'), (SELECT count(*) FROM orders), "
            "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())"
        )
        reply = worker.call({"op": "run", "sql": state, "max_rows": 10}, 30)
        worker.close()
        assert reply["rows"] == [["20s", "on", "on", 3000, 0]]

    def test_a_refusal_of_the_database_is_a_statement_refused(self, sqlite_source: Datasource) -> None:
        worker = sqlite_source._start()
        reply = worker.call({"op": "run", "sql": "DELETE FROM orders", "max_rows": 10}, 30)
        worker.close()
        with pytest.raises(StatementRefused, match=r"did not authorize.*send one SELECT"):
            sqlite_source._raise_failure(reply)
