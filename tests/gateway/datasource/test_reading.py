"""What a datasource reads and gives."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from gateway.datasource import Datasource, DatasourceConfig
from gateway.errors import (
    StatementFailed,
    StatementRefused,
)

from .sources import libpq, worker_pids


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
        for url in (postgres_orders, libpq(postgres_orders) + "?application_name=check"):
            with Datasource(DatasourceConfig("shop", url)) as source:
                source.ping()
                assert source.dialect == "postgres"
                assert source.run("SELECT count(*) FROM orders").rows == ((3000,),)

    def test_the_policy_comes_before_the_database(self, source: Datasource) -> None:
        with pytest.raises(StatementRefused, match="begins with 'DELETE'"):
            source.run("DELETE FROM orders")
        assert worker_pids(source) == set()

    def test_check_names_an_unknown_column_and_the_nearest(self, source: Datasource) -> None:
        with pytest.raises(StatementRefused, match="unknown column 'statee'; did you mean 'state'"):
            source.check("SELECT statee FROM orders", schemas={"orders": ["id", "state"]})

    def test_what_the_database_rejects_fails_in_its_words(self, source: Datasource) -> None:
        with pytest.raises(StatementFailed, match=r"nothing_such.*correct the statement"):
            source.run("SELECT nothing_such FROM orders")
        assert source.run("SELECT 1").rows == ((1,),)
