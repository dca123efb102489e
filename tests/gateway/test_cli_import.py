"""`kvasir kb import --from …` from end to end."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from kb.importers import FORMAT_NAMES
from kb.importers.formats import FORMATS

from .cli_home import KNOWLEDGE, Home, copy_home, make_home

PAIRS = "question,sql\nHow many customers come from France?,SELECT count(*) FROM customers WHERE country = 'FR'\n"
TABLE = {"table_name": "ships", "table_columns": [{"name": "id", "type": "INTEGER"}]}
MODEL = """\
name: shop
tables:
  - name: buyers
    base_table: {table: customers}
    dimensions:
      - {name: land, expr: country, synonyms: [nation]}
verified_queries:
  - question: How many buyers are there?
    verified_by: ida
    verified_at: 1717000000
    sql: SELECT count(land) FROM __buyers
"""
MANIFEST = {
    "metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json"},
    "sources": {"source.a.b.boats": {"name": "boats", "columns": {"id": {"name": "id"}}}},
}
TRAINING = [{"training_data_type": "documentation", "question": None, "content": "A boat is a small ship."}]
FILES = {
    "csv": ("pairs.csv", PAIRS),
    "dash": ("dash/tables/ships.json", json.dumps(TABLE)),
    "dbt": ("manifest.json", json.dumps(MANIFEST)),
    "snowflake": ("model.yaml", MODEL),
    "vanna": ("training.json", json.dumps(TRAINING)),
    "wren": ("wren/knowledge/rules/words.md", "A ship has sails."),
}
"""For each format a file; a folder's is the first part of its path."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, shop_database: Path) -> Home:
    return make_home(tmp_path_factory.mktemp("prepared"), shop_database)


@pytest.fixture
def home(prepared: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name in [name for name in os.environ if name.startswith("KVASIR_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return copy_home(prepared, tmp_path / "home")


def put(format_: str, text: str | None = None) -> str:
    """Write the format's file below the working directory; gives what the command is told to import."""
    name, content = FILES[format_]
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if text is None else text)
    return path.parts[0]


def shown(home: Home, *arguments: object) -> Any:
    result = home("kb", *arguments, "--kb", "shop", "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_command_line_knows_every_format() -> None:
    assert set(FORMAT_NAMES) == set(FORMATS) == set(FILES)


def test_the_knowledge_page_shows_a_command_for_every_format() -> None:
    page = (Path(__file__).parents[2] / "docs" / "knowledge.md").read_text()
    assert [name for name in FORMAT_NAMES if f" --from {name} " not in page] == []


@pytest.mark.parametrize("format_", FORMAT_NAMES)
def test_a_file_becomes_one_commit_and_the_same_file_no_second_one(home: Home, format_: str) -> None:
    path = put(format_)
    before = shown(home, "log")
    first = shown(home, "import", path, "--from", format_)
    assert first["put"] >= 1
    assert first["warnings"] == []
    log = shown(home, "log")
    assert len(log) == len(before) + 1
    assert log[0]["message"].startswith(f"Import {path} ({format_}): ")
    sources = {change["new"]["provenance"]["source"] for change in shown(home, "show")["changes"]}
    assert all(source.startswith(f"{format_} {path}") or source == "introspection" for source in sources)
    again = shown(home, "import", path, "--from", format_)
    assert (again["commit"], again["put"]) == (first["commit"], 0)


def test_pairs_are_proposed_and_depend_on_the_bases_columns(home: Home) -> None:
    shown(home, "import", put("csv"), "--from", "csv", "--dialect", "sqlite")
    (change,) = shown(home, "show")["changes"]
    assert change["new"]["status"] == "proposed"
    assert change["new"]["depends_on"] == ["customers.country"]


def test_an_introspected_table_gains_synonyms_and_a_verified_query_is_active(home: Home) -> None:
    columns = shown(home, "show", "schema:customers")["body"]["columns"]
    shown(home, "import", put("snowflake"), "--from", "snowflake")
    table = shown(home, "show", "schema:customers")
    assert table["body"]["columns"] == columns
    assert {"name": "customers.country", "synonyms": ["land", "nation"]} in table["entities"]
    changes = {change["id"].partition(":")[0]: change["new"] for change in shown(home, "show")["changes"]}
    assert changes["success"]["status"] == "active"
    assert changes["success"]["provenance"]["confirmed_by"] == "ida"


def test_a_base_is_made_by_the_first_import_and_by_no_failed_one(home: Home) -> None:
    put("csv", "question,sql\nA?\n")
    home.refused("kb", "import", "pairs.csv", "--from", "csv", "--kb", "new")
    put("csv")
    result = home("kb", "import", "pairs.csv", "--from", "csv", "--kb", "new")
    assert result.exit_code == 0
    assert "Import pairs.csv (csv): 1 items (1 put, 0 removed)" in result.stdout
    assert "warning: pairs.csv:2: the SQL reads tables or columns that the base does not know" in result.stderr


def test_warnings_are_part_of_the_json(home: Home) -> None:
    put("csv", PAIRS + "Why?,SELECT FROM FROM\n")
    (warning,) = shown(home, "import", "pairs.csv", "--from", "csv")["warnings"]
    assert "pairs.csv:3" in warning


def test_a_branch_takes_an_import_and_main_stays(home: Home) -> None:
    head = shown(home, "branch", "draft")["main"]
    shown(home, "import", put("csv"), "--from", "csv", "--branch", "draft")
    assert shown(home, "log")[0]["id"] == head
    assert len(shown(home, "diff", "main", "draft")["changes"]) == 1


def test_kvasirs_own_format_is_the_default(home: Home) -> None:
    assert shown(home, "import", KNOWLEDGE) == shown(home, "import", KNOWLEDGE, "--from", "kvasir")


BAD_CALLS = [
    (("pairs.csv", "--from", "csv"), ("pairs.csv: is no file; check the path",)),
    ((".", "--from", "csv"), (".: is a folder",)),
    ((".", "--from", "dash"), ("holds nothing to import; expected tables/*.json",)),
    ((".", "--from", "excel"), ("'excel' is not one of",)),
    ((KNOWLEDGE, "--prune", "--from", "wren"), ("--prune goes with Kvasir's own folders",)),
    ((KNOWLEDGE, "--dialect", "sqlite"), ("--dialect goes with --from",)),
    (("pairs.csv", "--from", "csv", "--dialect", "klingon"), ("'klingon' is no dialect; known: athena",)),
    (("pairs.csv", "--from", "csv", "--branch", "nowhere"), ("'nowhere'",)),
]


@pytest.mark.parametrize(("arguments", "told"), BAD_CALLS, ids=lambda value: ascii(value)[:60])
def test_a_mistake_of_the_user_exits_2_and_changes_nothing(
    home: Home, arguments: tuple[object, ...], told: tuple[str, ...]
) -> None:
    stderr = home.refused("kb", "import", *arguments, "--kb", "shop", "--json")
    for part in told:
        assert part in stderr


TORN = [
    ("csv", "question,sql\nA?,\0\n", "pairs.csv:2"),
    ("dash", '{"table_name": 3}', "field '$.table_name'"),
    ("dbt", "[" * 100_000, "nested deeper"),
    ("snowflake", "a: " + "[" * 100_000, "model.yaml:1: is nested deeper"),
    ("snowflake", "a: &a [x]\nb: [*a, *a]\n", "model.yaml:2"),
    ("vanna", "\x01", "training.json:1: is not JSON"),
    ("wren", "\0", "words.md:1"),
]


@pytest.mark.parametrize(("format_", "text", "told"), TORN, ids=range(len(TORN)))
def test_a_bad_file_is_told_with_its_place_and_nothing_is_imported(
    home: Home, format_: str, text: str, told: str
) -> None:
    stderr = home.refused("kb", "import", put(format_, text), "--from", format_, "--kb", "shop")
    assert told in stderr
