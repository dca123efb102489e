"""The processes that statements run in."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from gateway.datasource import WORKERS, Datasource, DatasourceConfig
from gateway.errors import (
    DatasourceUnavailable,
)

from .sources import ENDLESS, is_running, libpq, wait_for, worker_pids


class TestWorkers:
    def test_a_worker_is_used_again(self, source: Datasource) -> None:
        source.run("SELECT 1")
        first = worker_pids(source)
        source.run("SELECT 2")
        assert len(first) == 1
        assert worker_pids(source) == first

    def test_many_threads_get_their_own_answers_from_few_workers(self, source: Datasource) -> None:
        with ThreadPoolExecutor(12) as threads:
            answers = list(threads.map(lambda number: source.run(f"SELECT {number}, count(*) FROM orders"), range(48)))
        assert [table.rows for table in answers] == [((number, 3000),) for number in range(48)]
        assert 1 <= len(worker_pids(source)) <= WORKERS

    def test_a_worker_killed_while_idle_is_replaced(self, source: Datasource) -> None:
        source.ping()
        (worker,) = source._pool._idle
        os.kill(worker.pid, signal.SIGKILL)
        wait_for(lambda: not worker.alive)
        assert source.run("SELECT count(*) FROM orders").rows == ((3000,),)

    def test_a_worker_killed_in_a_statement_is_an_error_and_is_replaced(self, source: Datasource) -> None:
        source.ping()
        (pid,) = worker_pids(source)
        with ThreadPoolExecutor(1) as threads:
            running = threads.submit(source.run, ENDLESS)
            wait_for(lambda: bool(source._pool._lent))
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(DatasourceUnavailable, match=r"signal 9.*run it again"):
                running.result()
        assert source.run("SELECT count(*) FROM orders").rows == ((3000,),)

    def test_close_ends_the_workers_and_what_they_run(self, source: Datasource) -> None:
        source.ping()
        pids = worker_pids(source)
        with ThreadPoolExecutor(1) as threads:
            running = threads.submit(source.run, ENDLESS)
            wait_for(lambda: bool(source._pool._lent))
            source.close()
            with pytest.raises(DatasourceUnavailable):
                running.result()
        assert not any(is_running(pid) for pid in pids)
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
            assert is_running(pid)
            parent.kill()
        wait_for(lambda: not is_running(pid))

    def test_a_lost_postgres_connection_is_opened_again(
        self, postgres_source: Datasource, postgres_orders: str
    ) -> None:
        postgres_source.ping()
        with psycopg.connect(libpq(postgres_orders), autocommit=True) as connection:
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
        (pid,) = worker_pids(postgres_source)
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
