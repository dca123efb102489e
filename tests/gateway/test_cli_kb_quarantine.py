"""Quarantine from the command line: a database that changes, introspected again, and what a person does about it."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from .cli_home import Home

FILES = {
    "metric/open": "title: Open orders\n---\n\nOrders that are open.\n\n```sql\nSUM(orders.state = 'open')\n```\n",
    "template/count": (
        "title: Orders\nquestion: How many orders?\ndepends_on:\n- orders.state\n---\n\n"
        "```sql\nSELECT count(id) FROM orders\n```\n"
    ),
    "success/names": (
        "title: Names\nquestion: Which customers?\nstatus: proposed\n---\n\n```sql\nSELECT name FROM customers\n```\n"
    ),
}
LOST = {"name": "orders.state", "type": "TEXT", "change": "renamed", "now": "orders.order_state"}


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        file = folder / f"{name}.md"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"---\nid: {name.replace('/', ':')}\n{text}")
    return folder


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "shop.sqlite"
    run(
        path,
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, state TEXT, total INTEGER);"
        "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT)",
    )
    return path


def run(path: Path, statements: str) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(statements)
    connection.close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: Path) -> Home:
    for name in [name for name in os.environ if name.startswith("KVASIR_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    home = Home(tmp_path)
    home.configure('home = "state"\n')
    assert home("init").exit_code == 0
    introspect(home, database)
    shown(home, "import", write(tmp_path / "knowledge", **FILES))
    return home


def shown(home: Home, *arguments: object) -> Any:
    result = home("kb", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def introspect(home: Home, database: Path) -> Any:
    return shown(home, "introspect", f"sqlite:///{database}")


def renamed(home: Home, database: Path) -> Any:
    run(database, "ALTER TABLE orders RENAME COLUMN state TO order_state")
    return introspect(home, database)


def test_a_renamed_column_quarantines_in_the_commit_of_the_introspection(home: Home, database: Path) -> None:
    told = renamed(home, database)
    assert (told["put"], told["lifted"]) == (1, [])
    assert told["quarantined"] == [{"id": "metric:open", "title": "Open orders", "lost": [LOST]}]
    assert [change["id"] for change in shown(home, "show")["changes"]] == ["metric:open", "schema:orders"]
    assert shown(home, "log", "-n", "1")[0]["evidence"] == {"quarantined": "metric:open"}
    assert shown(home, "quarantine") == told["quarantined"]
    assert [item["id"] for item in shown(home, "items", "--status", "quarantined")] == ["metric:open"]
    assert introspect(home, database)["put"] == 0


def test_people_read_what_was_lost_and_what_came_back(home: Home, database: Path) -> None:
    run(database, "ALTER TABLE orders RENAME COLUMN state TO order_state")
    told = home("kb", "introspect", f"sqlite:///{database}").stdout.splitlines()
    line = "metric:open  orders.state is gone (renamed to orders.order_state?)"
    assert told[1:] == [f"quarantined  {line}"]
    assert home("kb", "quarantine").stdout == f"{line}\n"
    run(database, "ALTER TABLE orders RENAME COLUMN order_state TO state")
    told = home("kb", "introspect", f"sqlite:///{database}").stdout.splitlines()
    assert told[1:] == ["lifted       metric:open"]
    assert home("kb", "quarantine").stdout == "nothing is in quarantine\n"


@pytest.mark.parametrize("command", ["revert", "cherry-pick", "merge"])
def test_each_way_to_change_a_schema_lists_it(home: Home, database: Path, command: str) -> None:
    shown(home, "branch", "draft")
    run(database, "ALTER TABLE orders DROP COLUMN state")
    shown(home, "introspect", f"sqlite:///{database}", "--branch", "draft")
    if command == "revert":
        told = shown(home, "revert", "draft", "--branch", "draft")
        assert (told["quarantined"], told["lifted"]) == ([], ["metric:open"])
        return
    told = shown(home, command, "draft")
    assert [each["id"] for each in told["quarantined"]] == ["metric:open"]


def test_an_item_is_activated_when_it_was_edited(home: Home, database: Path, tmp_path: Path) -> None:
    renamed(home, database)
    stderr = home.refused("kb", "activate", "metric:open")
    assert "orders.state is gone (renamed to orders.order_state?)" in stderr
    assert "kvasir kb retire metric:open" in stderr
    folder = tmp_path / "export"
    shown(home, "export", folder)
    file = folder / "metric" / "open.md"
    assert "status: quarantined\nlost:\n- name: orders.state\n  type: TEXT\n  change: renamed\n" in file.read_text()
    file.write_text(file.read_text().replace("SUM(orders.state", "SUM(orders.order_state"))
    assert shown(home, "import", folder)["put"] == 1
    assert shown(home, "quarantine")
    told = shown(home, "activate", "metric:open", "-m", "Right again")
    assert (told["message"], told["lifted"]) == ("Right again", ["metric:open"])
    assert shown(home, "show", "metric:open")["status"] == "active"
    assert shown(home, "quarantine") == []


def test_the_folder_it_came_from_does_not_lift_it(home: Home, database: Path, tmp_path: Path) -> None:
    renamed(home, database)
    told = shown(home, "import", tmp_path / "knowledge")
    assert shown(home, "quarantine")
    assert "metric:open: it reads orders.state, which no table of the base has" in told["warnings"]


def test_proposed_items_are_activated_and_active_ones_retired(home: Home) -> None:
    assert [item["id"] for item in shown(home, "items", "--status", "proposed")] == ["success:names"]
    assert shown(home, "activate", "success:names")["message"] == "Activate success:names"
    assert home("kb", "retire", "success:names", "template:count").exit_code == 0
    assert shown(home, "log", "-n", "1")[0]["message"] == "Retire success:names, template:count"
    assert [item["id"] for item in shown(home, "items", "--status", "retired")] == ["success:names", "template:count"]
    text = home("kb", "items", "--kind", "success").stdout
    assert text == "retired      success:names  Names\n"


def test_a_depends_on_that_the_sql_contradicts_is_told_and_kept_as_it_was_written(home: Home, tmp_path: Path) -> None:
    shown(home, "retire", "template:count", "--reason", "it counts twice")
    assert shown(home, "log", "--limit", "1")[0]["message"] == "Retire template:count: it counts twice"
    result = home("kb", "import", tmp_path / "knowledge")
    assert result.stderr.splitlines() == [
        "warning: template:count: depends_on says orders.state, its SQL reads orders.id; that counts"
    ]
    assert shown(home, "show", "template:count")["depends_on"] == ["orders.state"]


def test_conflicts_between_items_are_shown_and_settled(home: Home, database: Path, tmp_path: Path) -> None:
    shown(home, "branch", "draft")
    run(database, "ALTER TABLE orders DROP COLUMN state")
    shown(home, "introspect", f"sqlite:///{database}", "--branch", "draft")
    twin = "title: Open Orders\n---\n\nOrders.\n\n```sql\nCOUNT(orders.id)\n```\n"
    shown(home, "import", write(tmp_path / "twin", **{"metric/twin": twin}), "--branch", "draft")
    edited = FILES["metric/open"].replace("are open", "wait")
    shown(home, "import", write(tmp_path / "edited", **{"metric/open": edited}))
    result = home("kb", "merge", "draft")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "! metric:open/metric:twin  'Open Orders' is metric:open by ours and metric:twin by theirs, "
        "computed differently",
        "    ours   \"SUM(orders.state = 'open')\"",
        "    theirs 'COUNT(orders.id)'",
        "! metric:open/schema:orders  metric:open was changed by ours, and theirs changed what it reads: "
        "orders.state is gone",
        "    orders.state is gone",
    ]
    assert "--base, --both or --resolve" in result.stderr
    told = json.loads(home("kb", "merge", "draft", "--json").stdout)["conflicts"]
    assert [(each["type"], each["item"], each["other"]) for each in told] == [
        ("metric_defined_twice", "metric:open", "metric:twin"),
        ("schema_removed", "metric:open", "schema:orders"),
    ]
    assert (told[1]["ours"]["id"], told[1]["theirs"]["id"]) == ("metric:open", "schema:orders")
    keys = [each["key"] for each in told]
    merged = shown(home, "merge", "draft", "--both", keys[1], "--ours", keys[0])
    assert [each["id"] for each in merged["quarantined"]] == ["metric:open"]
    assert {item["id"] for item in shown(home, "items", "--kind", "metric")} == {"metric:open"}
