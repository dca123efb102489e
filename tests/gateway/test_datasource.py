"""The datasource on real databases: what it reads, what stops it, and that it cannot write even past its policy."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from gateway.datasource import WORKERS, Datasource, DatasourceConfig
from gateway.errors import (
    ConfigError,
    DatasourceUnavailable,
    StatementFailed,
    StatementLimit,
    StatementRefused,
)
from gateway.sql_process import SqlProcess

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "data ?#%.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(
        """
        CREATE TABLE orders (id INTEGER PRIMARY KEY, state TEXT, total_eur REAL);
        CREATE VIRTUAL TABLE notes USING fts5(body);
        INSERT INTO notes VALUES ('a lamp came broken');
        """
    )
    connection.executemany("INSERT INTO orders VALUES (?, 'paid', ?)", [(number, number / 4) for number in range(3000)])
    connection.commit()
    connection.close()
    return path


@pytest.fixture
def sqlite_source(database: Path) -> Iterator[Datasource]:
    # Everything up to the query string is the path, so its own ? and # are quoted here.
    url = f"sqlite:///{str(database).replace('%', '%25').replace('?', '%3F')}"
    with Datasource(DatasourceConfig("shop", url, timeout_seconds=20, max_memory_mb=128)) as source:
        yield source


@pytest.fixture
def postgres_orders(fresh_postgres: str) -> str:
    with psycopg.connect(_libpq(fresh_postgres)) as connection:
        connection.execute(
            "CREATE TABLE orders (id serial PRIMARY KEY, state text, total numeric(10, 2), placed_on date)"
        )
        connection.execute(
            "INSERT INTO orders (state, total, placed_on) "
            "SELECT 'paid', n / 4.0, '2026-01-01' FROM generate_series(1, 3000) AS n"
        )
    return fresh_postgres


@pytest.fixture
def postgres_source(postgres_orders: str) -> Iterator[Datasource]:
    with Datasource(DatasourceConfig("shop", postgres_orders, timeout_seconds=20, max_memory_mb=128)) as source:
        yield source


@pytest.fixture(params=["sqlite", "postgres"])
def source(request: pytest.FixtureRequest) -> Datasource:
    return request.getfixturevalue(f"{request.param}_source")


def _libpq(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


def _with(source: Datasource, **limits: float) -> Datasource:
    known = {name: getattr(source.config, name) for name in source.config.__dataclass_fields__}
    return Datasource(DatasourceConfig(**{**known, **limits}))


def _worker_pids(source: Datasource) -> set[int]:
    return {process.pid for process in [*source._pool._idle, *source._pool._lent]}


def _wait_for(condition: Callable[[], bool]) -> None:
    """Fails by the suite's timeout where it never comes true."""
    while not condition():
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


class TestReading:
    def test_rows_come_with_their_columns(self, source: Datasource) -> None:
        table = source.run("SELECT state, count(*) AS orders FROM orders GROUP BY state")
        assert table.columns == ("state", "orders")
        assert table.rows == (("paid", 3000),)
        assert not table.truncated

    def test_a_statement_may_hold_comments_and_end_in_a_semicolon(self, source: Datasource) -> None:
        assert source.run("-- how many\nSELECT /* all */ count(*) FROM orders; -- done").rows == ((3000,),)

    def test_no_rows_still_have_columns(self, source: Datasource) -> None:
        table = source.run("SELECT id, state FROM orders WHERE id < 0")
        assert (table.columns, table.rows, table.truncated) == (("id", "state"), (), False)

    def test_more_rows_than_the_limit_are_cut_and_said_to_be(self, source: Datasource) -> None:
        table = source.run("SELECT id FROM orders ORDER BY id")
        assert len(table.rows) == 1000
        assert table.truncated

    def test_a_call_can_lower_the_row_limit_and_not_raise_it(self, source: Datasource) -> None:
        assert len(source.run("SELECT id FROM orders", max_rows=7).rows) == 7
        assert len(source.run("SELECT id FROM orders", max_rows=2000).rows) == 1000
        with pytest.raises(ValueError, match="max_rows is 0"):
            source.run("SELECT 1", max_rows=0)

    def test_exactly_as_many_rows_as_allowed_are_not_truncated(self, source: Datasource) -> None:
        table = source.run("SELECT id FROM orders ORDER BY id LIMIT 250", max_rows=250)
        assert len(table.rows) == 250
        assert not table.truncated

    def test_sqlite_values_become_json_values(self, sqlite_source: Datasource) -> None:
        table = sqlite_source.run("SELECT NULL, 1, 1.5, 'ä', x'00ff', 9e999, 9223372036854775807, CAST(x'e4' AS TEXT)")
        assert table.rows == ((None, 1, 1.5, "ä", "\\x00ff", "Infinity", 9223372036854775807, "\ufffd"),)

    def test_postgres_values_become_json_values(self, postgres_source: Datasource) -> None:
        table = postgres_source.run(
            "SELECT NULL::int, 1, true, 1.5::float8, 2.50::numeric, 3::numeric, 12345678901234567890.1234::numeric, "
            "'NaN'::numeric, 'ä'::text, '\\x00ff'::bytea, date '2026-01-31', timestamp '2026-01-31 10:00', "
            "interval '1 day', ARRAY[1, 2], '{\"a\": 1}'::jsonb, 'infinity'::date"
        )
        assert table.rows == (
            (
                None, 1, True, 1.5, 2.5, 3, "12345678901234567890.1234", "NaN", "ä", "\\x00ff", "2026-01-31",
                "2026-01-31 10:00:00", "1 day", "{1,2}", '{"a": 1}', "infinity",
            ),
        )  # fmt: skip

    def test_virtual_tables_can_be_read(self, sqlite_source: Datasource) -> None:
        assert sqlite_source.run("SELECT body FROM notes WHERE notes MATCH 'lamp'").rows == (("a lamp came broken",),)
        assert sqlite_source.run("SELECT value FROM json_each('[1, 2]')").rows == ((1,), (2,))

    def test_a_file_that_was_replaced_is_read_as_it_is_now(self, sqlite_source: Datasource, database: Path) -> None:
        assert sqlite_source.run("SELECT count(*) FROM orders").rows == ((3000,),)
        other = database.with_name("other")
        connection = sqlite3.connect(other)
        connection.executescript("CREATE TABLE orders (id); INSERT INTO orders VALUES (1)")
        connection.close()
        other.replace(database)
        assert sqlite_source.run("SELECT count(*) FROM orders").rows == ((1,),)

    def test_a_postgres_url_of_either_form_works(self, postgres_orders: str) -> None:
        for url in (postgres_orders, _libpq(postgres_orders) + "?application_name=check"):
            with Datasource(DatasourceConfig("shop", url)) as source:
                source.ping()
                assert source.dialect == "postgres"
                assert source.run("SELECT count(*) FROM orders").rows == ((3000,),)

    def test_the_policy_comes_before_the_database(self, source: Datasource) -> None:
        with pytest.raises(StatementRefused, match="begins with 'DELETE'"):
            source.run("DELETE FROM orders")
        assert _worker_pids(source) == set()

    def test_check_names_an_unknown_column_and_the_nearest(self, source: Datasource) -> None:
        with pytest.raises(StatementRefused, match="unknown column 'statee'; did you mean 'state'"):
            source.check("SELECT statee FROM orders", schemas={"orders": ["id", "state"]})

    def test_what_the_database_rejects_fails_in_its_words(self, source: Datasource) -> None:
        with pytest.raises(StatementFailed, match=r"nothing_such.*correct the statement"):
            source.run("SELECT nothing_such FROM orders")
        assert source.run("SELECT 1").rows == ((1,),)


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
        with psycopg.connect(_libpq(postgres_orders)) as connection:
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


class TestLimits:
    def test_an_endless_statement_is_stopped_and_says_how_to_allow_more(self, source: Datasource) -> None:
        with _with(source, timeout_seconds=0.3) as hurried:
            with pytest.raises(StatementLimit, match=r"timeout_seconds = 0.3.*\[datasources.shop\]"):
                hurried.run(ENDLESS)
            assert hurried.run("SELECT 1").rows == ((1,),)

    def test_a_cross_join_that_takes_too_long_is_stopped(self, postgres_source: Datasource) -> None:
        with _with(postgres_source, timeout_seconds=0.3) as hurried, pytest.raises(StatementLimit):
            hurried.run("SELECT count(*) FROM generate_series(1, 100000) AS a, generate_series(1, 100000) AS b")

    def test_a_statement_that_does_not_listen_is_killed(self, sqlite_source: Datasource) -> None:
        # One call of one function: SQLite's progress handler is not asked in between.
        deaf = "SELECT length(replace(hex(zeroblob(4000000)), '0', hex(zeroblob(2)))), instr(" + (
            "replace(hex(zeroblob(1000000)), '00', 'ab'), replace(hex(zeroblob(400000)), '00', 'ab') || 'c')"
        )
        with _with(sqlite_source, timeout_seconds=0.2) as hurried:
            hurried.ping()
            before = _worker_pids(hurried)
            with pytest.raises(StatementLimit, match="timeout_seconds"):
                hurried.run(deaf)
            assert hurried.run("SELECT 1").rows == ((1,),)
            assert _worker_pids(hurried).isdisjoint(before)

    @pytest.mark.parametrize(
        "bomb",
        [
            "SELECT length(zeroblob(900000000))",
            "WITH RECURSIVE b(x) AS (SELECT 'abcdefgh' UNION ALL SELECT x || x FROM b) SELECT max(length(x)) FROM b",
            "WITH RECURSIVE b(n, x) AS (SELECT 1, hex(randomblob(9999)) UNION ALL SELECT n + 1, hex(randomblob(9999)) "
            "FROM b) SELECT n, x FROM b ORDER BY x",
        ],
    )
    def test_a_memory_bomb_in_sqlite_is_stopped(self, sqlite_source: Datasource, bomb: str) -> None:
        with pytest.raises(StatementLimit, match="max_memory_mb = 128"):
            sqlite_source.run(bomb)
        assert sqlite_source.run("SELECT 1").rows == ((1,),)

    def test_a_row_of_postgres_too_big_for_the_worker_is_stopped(self, postgres_source: Datasource) -> None:
        with pytest.raises(StatementLimit, match="max_memory_mb = 128"):
            postgres_source.run("SELECT repeat('x', 200000000)")
        assert postgres_source.run("SELECT 1").rows == ((1,),)

    def test_a_result_of_too_many_bytes_is_stopped(self, source: Datasource) -> None:
        with _with(source, max_result_bytes=10_000) as narrow:
            with pytest.raises(StatementLimit, match="max_result_bytes = 10000"):
                narrow.run("SELECT id, 'a text that repeats for as many rows as there are' FROM orders")
            assert narrow.run("SELECT 1").rows == ((1,),)

    def test_the_worker_has_the_memory_limit(self, sqlite_source: Datasource) -> None:
        sqlite_source.ping()
        (pid,) = _worker_pids(sqlite_source)
        limits = Path(f"/proc/{pid}/limits").read_text()
        data = next(line for line in limits.splitlines() if line.startswith("Max data size"))
        assert data.split()[3] == str(128 << 20)


class TestWorkers:
    def test_a_worker_is_used_again(self, source: Datasource) -> None:
        source.run("SELECT 1")
        first = _worker_pids(source)
        source.run("SELECT 2")
        assert len(first) == 1
        assert _worker_pids(source) == first

    def test_many_threads_get_their_own_answers_from_few_workers(self, source: Datasource) -> None:
        with ThreadPoolExecutor(12) as threads:
            answers = list(threads.map(lambda number: source.run(f"SELECT {number}, count(*) FROM orders"), range(48)))
        assert [table.rows for table in answers] == [((number, 3000),) for number in range(48)]
        assert 1 <= len(_worker_pids(source)) <= WORKERS

    def test_a_worker_killed_while_idle_is_replaced(self, source: Datasource) -> None:
        source.ping()
        (worker,) = source._pool._idle
        os.kill(worker.pid, signal.SIGKILL)
        _wait_for(lambda: not worker.alive)
        assert source.run("SELECT count(*) FROM orders").rows == ((3000,),)

    def test_a_worker_killed_in_a_statement_is_an_error_and_is_replaced(self, source: Datasource) -> None:
        source.ping()
        (pid,) = _worker_pids(source)
        with ThreadPoolExecutor(1) as threads:
            running = threads.submit(source.run, ENDLESS)
            _wait_for(lambda: bool(source._pool._lent))
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(DatasourceUnavailable, match=r"signal 9.*run it again"):
                running.result()
        assert source.run("SELECT count(*) FROM orders").rows == ((3000,),)

    def test_close_ends_the_workers_and_what_they_run(self, source: Datasource) -> None:
        source.ping()
        pids = _worker_pids(source)
        with ThreadPoolExecutor(1) as threads:
            running = threads.submit(source.run, ENDLESS)
            _wait_for(lambda: bool(source._pool._lent))
            source.close()
            with pytest.raises(DatasourceUnavailable):
                running.result()
        assert not any(_runs(pid) for pid in pids)
        with pytest.raises(DatasourceUnavailable, match="closed"):
            source.run("SELECT 1")

    def test_a_worker_ends_with_its_parent_even_in_a_statement(self, database: Path) -> None:
        program = (
            "import sys\n"
            "from gateway.datasource import Datasource, DatasourceConfig\n"
            "import threading, time\n"
            f"source = Datasource(DatasourceConfig('shop', 'sqlite:///' + sys.argv[1], timeout_seconds=600))\n"
            "source.ping()\n"
            "print(source._pool._idle[0].pid, flush=True)\n"
            f"threading.Thread(target=source.run, args=({ENDLESS!r},), daemon=True).start()\n"
            "while not source._pool._lent: time.sleep(0.01)\n"
            "print('running', flush=True)\n"
            "time.sleep(600)\n"
        )
        plain = database.with_name("plain.sqlite")
        database.replace(plain)
        with subprocess.Popen([sys.executable, "-c", program, str(plain)], stdout=subprocess.PIPE, text=True) as parent:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            assert parent.stdout.readline() == "running\n"
            assert _runs(pid)
            parent.kill()
        _wait_for(lambda: not _runs(pid))

    def test_a_lost_postgres_connection_is_opened_again(
        self, postgres_source: Datasource, postgres_orders: str
    ) -> None:
        postgres_source.ping()
        with psycopg.connect(_libpq(postgres_orders), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        assert postgres_source.run("SELECT count(*) FROM orders").rows == ((3000,),)

    def test_a_worker_imports_nothing_heavy(self) -> None:
        program = (
            "import sys, gateway.sql_worker, gateway.sqlite_reader, gateway.postgres_reader\n"
            "print(sorted({'sqlalchemy', 'sqlglot', 'litellm', 'torch', 'fastapi'} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"

    def test_the_url_and_the_gateways_secrets_are_not_the_workers_to_show(
        self, postgres_source: Datasource, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KVASIR_TEST_SECRET", "hunter2")
        postgres_source.ping()
        (pid,) = _worker_pids(postgres_source)
        assert b"postgresql" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        assert b"hunter2" not in Path(f"/proc/{pid}/environ").read_bytes()

    def test_no_thread_or_pipe_is_left_behind(self, database: Path) -> None:
        gc.collect()
        threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
        plain = database.with_name("plain.sqlite")
        database.replace(plain)
        for _ in range(3):
            with Datasource(DatasourceConfig("shop", f"sqlite:///{plain}")) as source:
                source.run("SELECT 1")
        assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == (threads, files)


class TestUnavailable:
    def test_a_missing_file_is_named_and_never_made(self, tmp_path: Path) -> None:
        path = tmp_path / "none.sqlite"
        with Datasource(DatasourceConfig("shop", f"sqlite:///{path}")) as source:
            for call in (source.ping, lambda: source.run("SELECT 1")):
                with pytest.raises(DatasourceUnavailable, match=r"none\.sqlite.*check url under \[datasources\.shop\]"):
                    call()
        assert list(tmp_path.iterdir()) == []

    def test_a_file_that_is_no_database_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "notes.txt"
        path.write_text("no database at all, though long enough to be taken for one" * 20)
        with Datasource(DatasourceConfig("shop", f"sqlite:///{path}")) as source:
            for call in (source.ping, lambda: source.run("SELECT 1")):
                with pytest.raises(DatasourceUnavailable, match=r"notes.txt is not a readable SQLite database"):
                    call()

    def test_a_folder_is_no_database(self, tmp_path: Path) -> None:
        with (
            Datasource(DatasourceConfig("shop", f"sqlite:///{tmp_path}")) as source,
            pytest.raises(DatasourceUnavailable),
        ):
            source.ping()

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
    def test_a_file_that_may_not_be_read_is_named(self, database: Path) -> None:
        database.chmod(0)
        plain = database.replace(database.with_name("plain.sqlite"))
        source = Datasource(DatasourceConfig("shop", f"sqlite:///{plain}"))
        with source, pytest.raises(DatasourceUnavailable, match=r"plain.sqlite"):
            source.ping()

    def test_a_server_that_is_down_is_named_without_the_password(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            url = f"postgresql://someone:hunter2@127.0.0.1:{taken.getsockname()[1]}/shop"
            source = Datasource(DatasourceConfig("shop", url))
            with source, pytest.raises(DatasourceUnavailable, match=r"127.0.0.1.*that the server runs") as raised:
                source.ping()
        assert "hunter2" not in str(raised.value)

    def test_a_postgres_option_that_does_not_exist_is_named(self, postgres_orders: str) -> None:
        source = Datasource(DatasourceConfig("shop", f"{postgres_orders}?no_such_option=1"))
        with source, pytest.raises(DatasourceUnavailable, match="no_such_option"):
            source.ping()


class TestConfig:
    @pytest.mark.parametrize(
        "url",
        [
            "mysql://someone:hunter2@localhost/shop",
            "postgres://someone:hunter2@localhost/shop",
            "sqlite://",
            "sqlite:///:memory:",
            "sqlite:///shop.sqlite?mode=rwc",
            "postgresql://someone:hunter2@localhost:port/shop",
            "hunter2",
            "",
        ],
    )
    def test_another_url_stops_the_start_and_keeps_its_password(self, url: str) -> None:
        with pytest.raises(ConfigError, match=r"datasources\.shop\.url") as raised:
            Datasource(DatasourceConfig("shop", url))
        assert "hunter2" not in str(raised.value)

    def test_the_url_is_not_in_the_repr(self) -> None:
        assert "hunter2" not in repr(DatasourceConfig("shop", "postgresql://someone:hunter2@localhost/shop"))

    @pytest.mark.parametrize(
        ("setting", "value"), [("max_rows", 0), ("timeout_seconds", 0), ("max_memory_mb", 8), ("max_result_bytes", 0)]
    )
    def test_a_limit_that_cannot_be_met_is_named(self, setting: str, value: int) -> None:
        with pytest.raises(ConfigError, match=rf"datasources\.shop\.{setting}: got {value}"):
            DatasourceConfig("shop", "sqlite:///shop.sqlite", **{setting: value})
