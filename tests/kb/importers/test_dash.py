from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from kb.importers.dash import import_dash
from kb.importers.errors import SourceInvalid
from kb.importers.imported import Known
from kb.items import Column, Entity, Gotcha, Item, Metric, Rule, Schema, Template

DATA = Path(os.environ.get("KVASIR_DATA", "../shared/data")) / "dash"

TABLE = {
    "table_name": "loans",
    "table_description": "Books that are out.",
    "use_cases": ["Late books"],
    "data_quality_notes": ["due is text", "back is NULL until the book is back"],
    "table_columns": [
        {"name": "id", "type": "INTEGER", "description": "The loan"},
        {"name": "due", "type": "TEXT"},
    ],
}
BUSINESS = {
    "metrics": [
        {"name": "Open Loans (OL)", "definition": "Out now.", "table": "loans", "calculation": "COUNT(id) FROM loans"},
        {"name": "Delay", "definition": "How late.", "table": "loans or fines", "calculation": "days after due"},
        {"name": "Last due", "definition": "The last.", "table": "loans", "calculation": "MAX(due)"},
    ],
    "business_rules": ["A week has six days.", "Count a book once."],
    "common_gotchas": [{"issue": "Text dates", "tables_affected": ["loans"], "solution": "Cast due to a date."}],
}
QUERIES = """\
-- === Library ===
-- <query late>
-- <description>Loans that are late</description>
-- <query>
SELECT id FROM loans
WHERE due < '2026-01-01'; -- </query> is not at the start
-- </query>

-- <query name>by_day</query name>
-- <query description>
-- Loans by day
-- they are due
-- </query description>
-- <query>
SELECT due, COUNT(*) FROM loans GROUP BY due;
-- </query>
"""


def library(folder: Path, **changed: Any) -> Path:
    """A knowledge folder with `TABLE`, `BUSINESS` and `QUERIES`, each of which may be given otherwise."""
    for file, value in (
        ("tables/loans.json", changed.get("table", TABLE)),
        ("business/metrics.json", changed.get("business", BUSINESS)),
        ("queries/common.sql", changed.get("queries", QUERIES)),
    ):
        path = folder / "knowledge" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value if isinstance(value, str) else json.dumps(value))
    return folder / "knowledge"


def items(folder: Path) -> dict[str, Item]:
    return {item.id: item for item in import_dash(folder, Known()).items}


def test_each_part_becomes_its_kind(tmp_path: Path) -> None:
    found = items(library(tmp_path))
    assert found["schema:loans"].body == Schema(
        "loans",
        (Column("id", "INTEGER", comment="The loan"), Column("due", "TEXT")),
        comment="Books that are out. Used for: Late books.",
    )
    notes = found["gotcha:loans.data_quality"]
    assert notes.body == Gotcha("- due is text\n- back is NULL until the book is back")
    assert notes.entities == (Entity("loans"),)
    assert found["gotcha:text_dates"].body == Gotcha("Text dates: Cast due to a date.")
    assert found["rule:metrics.business_rules"].body == Rule("- A week has six days.\n- Count a book once.")
    assert {item.status for key, item in found.items() if not key.startswith("template")} == {"active"}
    assert found["schema:loans"].provenance.source == "dash knowledge/tables/loans.json"  # type: ignore[union-attr]


def test_a_calculation_is_an_expression_only_where_its_columns_are_there(tmp_path: Path) -> None:
    found = items(library(tmp_path))
    assert found["metric:open_loans_ol"].body == Metric("Out now.", "COUNT(id) FROM loans")
    assert found["metric:open_loans_ol"].entities == (Entity("Open Loans", ("OL",)),)
    assert found["metric:open_loans_ol"].depends_on == ("loans.id",)
    assert found["metric:last_due"].body == Metric("The last.", "MAX(due)")
    assert found["metric:last_due"].depends_on == ("loans.due",)
    assert found["metric:delay"].body == Metric("How late.\nCalculation: days after due", "")
    assert found["metric:delay"].refs == ("schema:loans",)


def test_queries_of_both_spellings_are_proposed_templates(tmp_path: Path) -> None:
    found = items(library(tmp_path))
    late, by_day = found["template:late"], found["template:by_day"]
    assert late.body == Template(
        "Loans that are late", "SELECT id FROM loans\nWHERE due < '2026-01-01'; -- </query> is not at the start"
    )
    assert by_day.body == Template("Loans by day they are due", "SELECT due, COUNT(*) FROM loans GROUP BY due")
    assert late.status == by_day.status == "proposed"
    assert late.depends_on == ("loans.due", "loans.id")


def test_a_second_reading_gives_the_same(tmp_path: Path) -> None:
    assert import_dash(library(tmp_path), Known()) == import_dash(library(tmp_path), Known())


BAD: list[tuple[dict[str, Any], str]] = [
    ({"table": "{"}, "loans.json:1: is not JSON"),
    ({"table": "[1]"}, "field '$.table_name': is missing"),
    ({"table": "7"}, "holds a number; an object with fields is expected"),
    ({"table": '{"a": NaN}'}, "NaN is no number of JSON"),
    ({"table": "[" * 200_000}, "is nested deeper"),
    ({"table": TABLE | {"table_columns": [{"type": "TEXT"}]}}, "field '$.table_columns[0].name': is missing or empty"),
    ({"table": TABLE | {"table_columns": {}}}, "field '$.table_columns': is a mapping; a list is expected"),
    ({"table": TABLE | {"table_name": "a\udc80"}}, "field '$.table_name': holds '\\udc80'"),
    ({"table": TABLE | {"table_name": "a\0"}}, "field '$.table_name': holds '\\x00'"),
    ({"business": {"metrics": [{"name": 3}]}}, "field '$.metrics[0].name': is a number; text is expected"),
    ({"business": {"common_gotchas": ["x"]}}, "field '$.common_gotchas[0]': is text; fields are expected"),
    ({"queries": "-- <query a>\nSELECT 1\n"}, "common.sql:2: SQL outside"),
    ({"queries": "-- <query a>\n-- <query>\nSELECT 1\n"}, "common.sql:2: the query is not closed"),
    ({"queries": "-- <query>\nSELECT 1\n-- </query>\n"}, "common.sql:1: a query without a name"),
    ({"queries": "-- <query a>\n-- <query b>\n"}, "common.sql:1: query 'a' has no"),
    ({"queries": "-- <query a>\n-- <query>\n;\n-- </query>\n"}, "common.sql:2: the query is empty"),
    ({"queries": "-- <query a>\n-- <query description>\n-- x\n"}, "common.sql:2: the description is not closed"),
    ({"queries": QUERIES + QUERIES.replace("due <", "due >")}, "is said otherwise at"),
    ({"queries": "SELECT \0"}, "common.sql:1: holds a NUL byte"),
]


@pytest.mark.parametrize(("changed", "told"), BAD, ids=range(len(BAD)))
def test_a_bad_file_is_refused_with_its_place(tmp_path: Path, changed: dict[str, Any], told: str) -> None:
    with pytest.raises(SourceInvalid) as caught:
        import_dash(library(tmp_path, **changed), Known())
    assert told in str(caught.value)


def test_a_folder_that_holds_none_of_it_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(SourceInvalid, match=r"holds nothing to import; expected tables/\*\.json"):
        import_dash(tmp_path, Known())
    with pytest.raises(SourceInvalid, match="is no folder"):
        import_dash(tmp_path / "absent", Known())


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = library(tmp_path)
    (tmp_path / "secret.json").write_text(json.dumps(TABLE | {"table_name": "secret"}))
    (folder / "tables" / "more.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(SourceInvalid, match="leads out of"):
        import_dash(folder, Known())


def test_a_pipe_in_place_of_a_file_is_refused_without_waiting(tmp_path: Path) -> None:
    folder = library(tmp_path)
    os.mkfifo(folder / "tables" / "pipe.json")
    with pytest.raises(SourceInvalid, match="is no file"):
        import_dash(folder, Known())


@pytest.mark.parametrize(
    ("name", "counts", "unread"),
    [
        ("saas", {"schema": 6, "metric": 8, "gotcha": 11, "rule": 1, "template": 10}, 0),
        ("f1", {"schema": 5, "metric": 8, "gotcha": 10, "rule": 1, "template": 11}, 0),
    ],
)
def test_the_folders_of_dash_itself_are_read(name: str, counts: dict[str, int], unread: int) -> None:
    folder = DATA / f"{name}_knowledge"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there; name its folder in KVASIR_DATA")
    imported = import_dash(folder, Known(dialect="postgres"))
    found = [item.kind for item in imported.items]
    assert {kind: found.count(kind) for kind in counts} == counts  # type: ignore[arg-type]
    assert len(imported.warnings) == unread, imported.warnings
    templates = [item for item in imported.items if item.kind == "template"]
    assert all(item.depends_on and item.status == "proposed" for item in templates)
