"""The example shop: the same each time, of the promised size, and with traps that README.md tells the truth about."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from gateway.datasource import Datasource, DatasourceConfig

SHOP = Path(__file__).parents[2] / "examples" / "shop"
README = (SHOP / "README.md").read_text(encoding="utf-8")
TRAPS = re.findall(
    r"^### (.+?)\n.*?```sql\n(.+?)```\n\nNaive: `(.+?)`\n\n```sql\n(.+?)```\n\nRight: `(.+?)`$", README, re.M | re.S
)


@pytest.fixture
def shop(shop_database: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(shop_database)
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def datasource(shop_database: Path) -> Iterator[Datasource]:
    with Datasource(DatasourceConfig("shop", f"sqlite:///{shop_database}")) as opened:
        yield opened


def _tables(connection: sqlite3.Connection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")]


def _printed(row: tuple[object, ...]) -> str:
    return ", ".join("NULL" if value is None else str(value) for value in row)


def test_the_same_seed_gives_the_same_rows(shop_database: Path, shop_generator: ModuleType, tmp_path: Path) -> None:
    again, other = tmp_path / "again.sqlite", tmp_path / "other.sqlite"
    shop_generator.generate(again)
    shop_generator.generate(other, seed=8)
    dumps = []
    for path in (shop_database, again, other):
        connection = sqlite3.connect(path)
        dumps.append(list(connection.iterdump()))
        connection.close()
    assert dumps[0] == dumps[1]
    assert dumps[0] != dumps[2]


def test_it_has_eleven_tables_and_about_fifty_thousand_rows(shop: sqlite3.Connection) -> None:
    counts = {table: shop.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in _tables(shop)}
    assert len(counts) == 11
    assert 47_500 <= sum(counts.values()) <= 52_500
    for table, rows in counts.items():
        assert f"| `{table}` | {rows:,} |" in README
    assert f"{sum(counts.values()):,} rows" in README


def test_its_keys_hold_and_the_undeclared_ones_too(shop: sqlite3.Connection) -> None:
    assert shop.execute("PRAGMA foreign_key_check").fetchall() == []
    lost = "SELECT count(*) FROM shipments WHERE order_ref NOT IN (SELECT order_no FROM orders)"
    assert shop.execute(lost).fetchone() == (0,)
    assert shop.execute("SELECT count(*) FROM orders WHERE buyer_id NOT IN (SELECT id FROM customers)").fetchone() == (
        0,
    )
    assert shop.execute("PRAGMA foreign_key_list(shipments)").fetchall() == []


def test_nothing_happens_after_its_last_day(shop: sqlite3.Connection) -> None:
    for table in _tables(shop):
        columns = [row[1] for row in shop.execute(f"PRAGMA table_info({table})") if row[1].endswith(("_at", "_on"))]
        for column in columns:
            latest = shop.execute(f"SELECT max({column}) FROM {table}").fetchone()[0]
            assert latest < "2026-07-01", f"{table}.{column}"


def test_the_legacy_status_is_new_for_every_order_since_the_migration(shop: sqlite3.Connection) -> None:
    since = "SELECT DISTINCT status FROM orders WHERE created_at >= '2025-09-01'"
    assert shop.execute(since).fetchall() == [("new",)]
    states = {state for (state,) in shop.execute("SELECT DISTINCT state FROM orders")}
    assert states == {"placed", "paid", "shipped", "delivered", "cancelled", "returned"}


def test_totals_in_euros_are_the_items_in_cents_and_shipping(shop: sqlite3.Connection) -> None:
    wrong = """
        SELECT count(*) FROM orders AS o
        WHERE abs(o.total_eur - o.shipping_eur - (
            SELECT sum(i.quantity * i.unit_price_cents) / 100.0 FROM order_items AS i WHERE i.order_id = o.id
        )) > 0.005"""
    assert shop.execute(wrong).fetchone() == (0,)


def test_the_readme_lists_nine_traps() -> None:
    assert len(TRAPS) == 9


@pytest.mark.parametrize(("title", "naive", "naive_result", "right", "right_result"), TRAPS, ids=[t[0] for t in TRAPS])
def test_each_trap_gives_what_the_readme_says(
    datasource: Datasource, title: str, naive: str, naive_result: str, right: str, right_result: str
) -> None:
    assert [_printed(row) for row in datasource.run(naive).rows] == [naive_result]
    assert [_printed(row) for row in datasource.run(right).rows] == [right_result]
    assert naive_result != right_result


def test_the_command_writes_the_file_and_says_where_it_cannot(tmp_path: Path) -> None:
    command = [sys.executable, str(SHOP / "generate.py")]
    path = tmp_path / "made.sqlite"
    path.write_text("what was there is replaced")
    done = subprocess.run([*command, str(path)], capture_output=True, text=True, check=True)
    assert str(path) in done.stdout
    assert list(tmp_path.iterdir()) == [path]
    refused = subprocess.run(
        [*command, str(tmp_path / "no" / "made.sqlite")], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert "cannot write" in refused.stderr


def test_every_question_has_values_for_an_answer_and_none_is_cut_off_between_equals(shop: sqlite3.Connection) -> None:
    patterns = yaml.safe_load((SHOP / "questions.yaml").read_text(encoding="utf-8"))
    asked = [(text, pattern["sql"].format(*values)) for pattern in patterns for text, *values in pattern["asked"]]
    assert len({" ".join(text.casefold().split()) for text, _ in asked}) == len(asked) == 160
    for text, sql in asked:
        rows = shop.execute(sql).fetchall()
        assert any(cell is not None for row in rows for cell in row), text
        if limit := re.search(r" LIMIT (\d+)$", sql):
            one_more = shop.execute(sql.replace(limit[0], f" LIMIT {int(limit[1]) + 1}")).fetchall()
            assert one_more[-1][1] < rows[-1][1], text
