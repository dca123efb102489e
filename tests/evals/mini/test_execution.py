"""An answer is judged by its rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.mini.evaluate import held_out
from backend.mini.training import Training
from evals.bench.mini.abilities import is_valid
from evals.bench.mini.execution import Judged, frozen, is_ordered, judge_by_rows


@pytest.mark.parametrize(
    ("gold", "said", "judged"),
    [
        ("SELECT kind FROM pets", "SELECT kind FROM pets ORDER BY kind", Judged(True, True)),
        ("SELECT kind FROM pets ORDER BY kind", "SELECT kind FROM pets ORDER BY id", Judged(False, True)),
        ("SELECT count(*) FROM pets", "```sql\nSELECT 3;\n```", Judged(True, True)),
        ("SELECT count(*) FROM pets", "SELECT 4", Judged(False, True)),
        ("SELECT count(*) FROM pets", "SELECT nothing FROM pets", Judged(False, False)),
        ("SELECT count(*) FROM pets", "DELETE FROM pets", Judged(False, False)),
        ("SELECT count(*) FROM pets", "", Judged(False, False)),
        ("SELECT count(*) FROM pets", None, Judged(False, False)),
        ("SELECT count(*) FROM gone", "SELECT 3", None),
        ('SELECT id FROM pets WHERE kind = "cat" ;', "SELECT 2", Judged(True, True)),
    ],
)
def test_an_answer_is_right_if_its_rows_are(data: Path, gold: str, said: str | None, judged: Judged | None) -> None:
    file = data / "spider" / "database" / "pets.sqlite"
    assert judge_by_rows(file, [gold], said) == judged


def test_any_accepted_statement_will_do_each_with_its_own_order(data: Path) -> None:
    file = data / "spider" / "database" / "pets.sqlite"
    gold = ["SELECT id FROM pets ORDER BY id", "SELECT kind FROM pets", "SELECT broken"]
    assert judge_by_rows(file, gold, "SELECT kind FROM pets ORDER BY id DESC") == Judged(True, True)
    assert judge_by_rows(file, gold, "SELECT id FROM pets ORDER BY id DESC") == Judged(False, True)


@pytest.mark.parametrize(
    ("sql", "ordered"),
    [
        ("SELECT a FROM b ORDER BY a", True),
        ("SELECT a FROM (SELECT a FROM b ORDER BY a)", False),
        ("SELECT a FROM b UNION SELECT c FROM d ORDER BY 1", True),
        ("SELECT ( FROM order by", True),
    ],
)
def test_order_counts_where_the_outermost_statement_asks_for_it(sql: str, ordered: bool) -> None:
    assert is_ordered(sql) is ordered


def test_the_clock_stands_still_in_every_spelling_of_now() -> None:
    clock = "2025-06-18 12:00:00"
    sql = "SELECT date('now', '-1 day'), CURRENT_DATE, current_timestamp, CURRENT_TIME, 'nowhere', current_date_x"
    assert frozen(sql, clock) == (
        f"SELECT date('{clock}', '-1 day'), '2025-06-18', '{clock}', '12:00:00', 'nowhere', current_date_x"
    )
    assert frozen(sql, None) == sql


def test_sql_is_valid_if_sqlite_can_prepare_it() -> None:
    (case,) = held_out("plain", 1, Training().held_out_seed)
    table = case.connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchone()[0]
    assert is_valid(case, f"SELECT count(*) FROM {table}")
    for sql in (
        f"SELECT no_such_column FROM {table}",
        "SELECT 1 FROM no_such_table",
        "SELECT",
        "",
        "SELECT 1; SELECT 2",
    ):
        assert not is_valid(case, sql)
