"""Limits of rows, time and memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.datasource import Datasource
from gateway.errors import (
    StatementLimit,
)

from .sources import ENDLESS, with_limits, worker_pids


class TestLimits:
    def test_an_endless_statement_is_stopped_and_says_how_to_allow_more(self, source: Datasource) -> None:
        with with_limits(source, timeout_seconds=0.3) as hurried:
            with pytest.raises(StatementLimit, match=r"timeout_seconds = 0.3.*\[datasources.shop\]"):
                hurried.run(ENDLESS)
            assert hurried.run("SELECT 1").rows == ((1,),)

    def test_a_cross_join_that_takes_too_long_is_stopped(self, postgres_source: Datasource) -> None:
        with with_limits(postgres_source, timeout_seconds=0.3) as hurried, pytest.raises(StatementLimit):
            hurried.run("SELECT count(*) FROM generate_series(1, 100000) AS a, generate_series(1, 100000) AS b")

    def test_a_statement_that_does_not_listen_is_killed(self, sqlite_source: Datasource) -> None:
        # One call of one function: SQLite's progress handler is not asked in between.
        deaf = "SELECT length(replace(hex(zeroblob(4000000)), '0', hex(zeroblob(2)))), instr(" + (
            "replace(hex(zeroblob(1000000)), '00', 'ab'), replace(hex(zeroblob(400000)), '00', 'ab') || 'c')"
        )
        with with_limits(sqlite_source, timeout_seconds=0.2) as hurried:
            hurried.ping()
            before = worker_pids(hurried)
            with pytest.raises(StatementLimit, match="timeout_seconds"):
                hurried.run(deaf)
            assert hurried.run("SELECT 1").rows == ((1,),)
            assert worker_pids(hurried).isdisjoint(before)

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
        with with_limits(source, max_result_bytes=10_000) as narrow:
            with pytest.raises(StatementLimit, match="max_result_bytes = 10000"):
                narrow.run("SELECT id, 'a text that repeats for as many rows as there are' FROM orders")
            assert narrow.run("SELECT 1").rows == ((1,),)

    def test_the_worker_has_the_memory_limit(self, sqlite_source: Datasource) -> None:
        sqlite_source.ping()
        (pid,) = worker_pids(sqlite_source)
        limits = Path(f"/proc/{pid}/limits").read_text()
        data = next(line for line in limits.splitlines() if line.startswith("Max data size"))
        assert data.split()[3] == str(128 << 20)
