"""The statement in an answer, and what the check of it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.datasource import Datasource, DatasourceConfig
from gateway.verification import SHOWN_ROWS, sql_of, verify

TABLES = {"customers": ("id", "country"), "orders": ("id", "state")}


@pytest.fixture(scope="module")
def datasource(shop_database: Path) -> Iterator[Datasource]:
    with Datasource(DatasourceConfig("shop", f"sqlite:///{shop_database}", timeout_seconds=2)) as opened:
        yield opened


@pytest.mark.parametrize(
    "answer",
    [
        "SELECT 1",
        "  SELECT 1 ;\n",
        "```sql\nSELECT 1;\n```",
        "Here it is:\n\n```SQLite\nSELECT 1\n```\nIt counts.",
        "```\nSELECT 1\n```",
        "```sql\r\nSELECT 1\r\n```",
        "``` sql title=x\nSELECT 1```",
        '```json\n{"a": 1}\n```\nthen\n```sql\nSELECT 1\n```',
        "```\nno statement\n```\n```postgresql\nSELECT 1\n```",
    ],
)
def test_the_statement_is_found_in_its_fence(answer: str) -> None:
    assert sql_of(answer) == "SELECT 1"


def test_the_first_of_two_statements_is_taken() -> None:
    assert sql_of("```sql\nSELECT 1\n```\nor\n```sql\nSELECT 2\n```") == "SELECT 1"


def test_a_statement_that_runs_passes_with_its_first_rows(datasource: Datasource) -> None:
    result = verify(datasource, "```sql\nSELECT id FROM customers ORDER BY id\n```", TABLES)
    assert result.passed
    assert result.sql == "SELECT id FROM customers ORDER BY id"
    assert result.columns == ("id",)
    assert result.rows == tuple((number,) for number in range(1, SHOWN_ROWS + 1))
    assert (result.row_count, result.truncated) == (1000, True)
    assert result.to_dict()["status"] == "passed"


@pytest.mark.parametrize(
    ("answer", "status", "told"),
    [
        ("I do not know.", "refused", ""),
        ("", "refused", ""),
        ("DELETE FROM orders", "refused", "only reads"),
        ("SELECT 1; SELECT 2", "refused", "one"),
        ("SELECT stat FROM orders", "refused", "state"),
        ("SELECT abs(-9223372036854775808)", "failed", "overflow"),
        ("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n", "limit", "timeout"),
    ],
)
def test_a_statement_that_does_not_pass_says_why(datasource: Datasource, answer: str, status: str, told: str) -> None:
    result = verify(datasource, answer, TABLES)
    assert (result.status, result.rows, result.passed) == (status, (), False)
    assert "datasource 'shop'" in result.message
    assert told in result.message


def test_a_database_that_is_away_is_no_fault_of_the_answer(tmp_path: Path) -> None:
    with Datasource(DatasourceConfig("gone", f"sqlite:///{tmp_path}/none.sqlite")) as gone:
        assert verify(gone, "SELECT 1", {}).status == "unavailable"
    assert list(tmp_path.iterdir()) == []
