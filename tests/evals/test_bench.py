"""The one form of every benchmark, and the retrieval benchmark on schemas small enough to work out by hand."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from evals.bench.bootstrap import mean_interval
from evals.bench.cli import group
from evals.bench.errors import DataUnavailable
from evals.bench.kb.join_recall import join_rows
from evals.bench.kb.table_recall import K, misses_row, one_base, recall
from evals.bench.kb.table_weights import fitted_weights
from evals.bench.machine import bench_machine
from evals.bench.report import BenchReport, print_report
from evals.bench.row import Asked, Row
from evals.bench.spider import TableQuestion, load_joins, load_questions, load_schemas, table_id
from kb.embedding import SentenceEmbedder

DATA = Path(os.environ.get("KVASIR_DATA", "../shared/data"))
FIELDS = {"name", "value", "unit", "asked", "ok", "n", "interval", "baseline"}


def schema(database: str, tables: dict[str, list[str]], foreign_keys: Sequence[tuple[int, int]] = ()) -> dict[str, Any]:
    columns = [(place, column) for place, listed in enumerate(tables.values()) for column in listed]
    return {
        "db_id": database,
        "table_names_original": list(tables),
        "column_names_original": [[-1, "*"], *([place, column] for place, column in columns)],
        "column_types": ["text"] * (len(columns) + 1),
        "foreign_keys": [list(ends) for ends in foreign_keys],
    }


SCHEMAS = [
    schema(
        "pets",
        {"Student": ["stuid", "age"], "Has_Pet": ["stuid", "petid"], "Pets": ["petid", "weight"]},
        [(3, 1), (4, 5)],
    ),
    schema("museum", {"Visitor": ["id", "name"], "Exhibit": ["id", "theme"]}),
    schema("unused", {"Ship": ["tonnage"]}),
]
QUESTIONS = [
    {"db_id": "pets", "question": "What is the weight of all pets?", "gold_tables": ["pets"]},
    {"db_id": "museum", "question": "Which visitor saw an exhibit?", "gold_tables": ["visitor", "EXHIBIT"]},
    {"db_id": "gone", "question": "Anything?", "gold_tables": ["x"]},
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "spider"
    folder.mkdir()
    (folder / "tables.json").write_text(json.dumps(SCHEMAS))
    for split in ("dev", "realistic", "train1196"):
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, QUESTIONS)) + "\n")
    return tmp_path


def bench(*arguments: str) -> Result:
    return CliRunner().invoke(group, ["kb", "--only", "tables", *arguments])


def test_a_row_that_nothing_is_asked_of_is_neither_ok_nor_not() -> None:
    row = Row("recall", 0.5, "share", 10, (0.3, 0.7), {"bm25": 0.4})
    assert row.to_dict() == {
        "name": "recall",
        "value": 0.5,
        "unit": "share",
        "asked": None,
        "ok": None,
        "n": 10,
        "interval": [0.3, 0.7],
        "baseline": {"bm25": 0.4},
    }


@pytest.mark.parametrize(
    ("value", "asked", "ok"),
    [
        (0.9, Asked(at_least=0.9), True),
        (0.89, Asked(at_least=0.9), False),
        (0.1, Asked(at_most=0.1), True),
        (0.11, Asked(at_most=0.1), False),
        (0.0, Asked(at_least=0.1), False),
        (None, Asked(at_most=0.1), False),
    ],
)
def test_ok_compares_the_value_with_what_was_asked(value: float | None, asked: Asked, ok: bool) -> None:
    assert Row("x", value, "", 1, asked=asked).ok is ok


def test_what_was_asked_is_written_with_its_direction_and_absence_is_null() -> None:
    written = Row("x", None, "s", 0, asked=Asked(at_least=0.5)).to_dict()
    assert written["asked"] == {"at_least": 0.5}
    assert (written["value"], written["interval"], written["baseline"]) == (None, None, None)


def test_the_table_shows_every_figure() -> None:
    rows = (
        Row("reached", 0.91, "share", 12, (0.8, 0.95), {"bm25": 0.5}, Asked(at_least=0.9)),
        Row("missed [x]", 12_345.6, "ms", 3, asked=Asked(at_most=10.0)),
        Row("unmeasured", None, "ms", 0),
    )
    out = io.StringIO()
    print_report(BenchReport("figures", rows, bench_machine()), Console(file=out, width=160))
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.getvalue().splitlines() if "│" in line]
    assert lines == [
        ["reached", "0.910 share", "0.800 – 0.950", "12", "bm25 0.500", "≥ 0.900", "yes"],
        ["missed [x]", "12,346 ms", "–", "3", "–", "≤ 10", "no"],
        ["unmeasured", "–", "–", "0", "–", "–", "–"],
    ]


def test_the_machine_is_told_without_its_name() -> None:
    facts = bench_machine()
    assert facts.keys() == {"cpu", "cores", "memory_gib", "system", "python", "libraries"}
    assert os.uname().nodename not in json.dumps(facts)


def test_a_mean_has_the_same_interval_every_time_and_one_value_has_none_but_itself() -> None:
    assert mean_interval([]) is None
    assert mean_interval([0.5] * 20) == (0.5, 0.5)
    values = [0.0] * 50 + [1.0] * 50
    low, high = mean_interval(values) or (0.0, 0.0)
    # The normal interval is 0.5 ± 1.96 * 0.05.
    assert (low, high) == pytest.approx((0.402, 0.598), abs=0.015)
    assert mean_interval(values) == (low, high)


def test_recall_counts_needed_tables_among_the_first_five() -> None:
    questions = [
        TableQuestion("a", "d", frozenset({"1"})),
        TableQuestion("b", "d", frozenset({"1", "6"})),
        TableQuestion("c", "d", frozenset({"6", "7"})),
    ]
    assert K == 5
    result = recall(questions, lambda _: ["1", "2", "3", "4", "5", "6", "7"])
    assert result.shares == (1.0, 0.5, 0.0)
    assert (result.mean, result.complete) == (0.5, 1)


def test_gold_tables_name_schema_items_in_any_case(data: Path) -> None:
    schemas = load_schemas(data)
    questions = load_questions(data, "dev")
    assert questions[1].needed == {table_id("museum", "Visitor"), "schema:museum.exhibit"}
    assert questions[1].needed == {item.id for item in schemas["museum"]}


def test_foreign_keys_become_joins_of_their_database(data: Path) -> None:
    bodies = [item.body for item in load_joins(data)["pets"]]
    assert [(b.database, b.left_table, b.left_columns, b.right_table) for b in bodies] == [  # type: ignore[union-attr]
        ("pets", "Has_Pet", ("stuid",), "Student"),
        ("pets", "Has_Pet", ("petid",), "Pets"),
    ]
    assert load_joins(data)["museum"] == []


def test_recall_of_joins_counts_relationships_between_needed_tables(data: Path, embedder: SentenceEmbedder) -> None:
    schemas, joins = load_schemas(data), load_joins(data)
    base = one_base([*schemas["pets"], *joins["pets"]])
    tables = {name: table_id("pets", name) for name in ("Student", "Has_Pet", "Pets")}
    asked = [
        TableQuestion("students that have pets: has pet, student, pets", "pets", frozenset(tables.values())),
        TableQuestion("students and pets", "pets", frozenset({tables["Student"], tables["Pets"]})),
    ]
    (row,) = join_rows(base, embedder, {"dev": asked})
    assert (row.name, row.value, row.n) == ("dev recall of joins", 1.0, 1)
    (none,) = join_rows(one_base(schemas["pets"]), embedder, {"dev": asked})
    assert (none.value, none.n) == (None, 0)


def test_the_benchmark_gives_every_method_and_split_in_the_one_form(data: Path) -> None:
    result = bench("--data", str(data), "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report.keys() == {"rows", "machine"}
    assert all(row.keys() == FIELDS for row in report["rows"])
    assert [row["name"] for row in report["rows"]] == [
        name
        for note in ("", " with values")
        for split in ("dev", "realistic")
        for name in (
            *(
                f"{split}{note} {measure} {method}"
                for method in ("hybrid", "bm25", "dense")
                for measure in ("recall@5", "all tables in 5")
            ),
            f"{split}{note} misses of recall@5",
            f"{split}{note} misses of all tables in 5",
        )
    ] + ["dev recall of joins", "realistic recall of joins"]
    rows = {row["name"]: row for row in report["rows"]}
    assert {row["n"] for name, row in rows.items() if not name.endswith("joins")} == {2}
    # Six tables in all, and these questions name theirs.
    assert rows["dev recall@5 hybrid"]["value"] == 1.0
    assert rows["dev recall@5 hybrid"]["baseline"].keys() == {"bm25", "dense"}
    assert rows["dev recall@5 bm25"]["baseline"] is None
    assert "1 of 3 questions left out, no schema of ['gone']" in result.stderr
    assert "6 tables of 3 databases" in result.stderr


@pytest.mark.parametrize(("hybrid", "ratio", "ok"), [(0.95, 0.5, True), (0.92, 0.8, False), (1.0, 0.0, True)])
def test_misses_are_those_of_the_better_single_method(hybrid: float, ratio: float, ok: bool) -> None:
    row = misses_row("x", {"hybrid": hybrid, "bm25": 0.9, "dense": 0.8}, 10, Asked(at_most=0.6))
    assert row.value == pytest.approx(ratio)
    assert row.baseline == pytest.approx({"bm25": 0.1, "dense": 0.2})
    assert row.ok is ok


def test_where_the_better_single_method_misses_nothing_there_is_nothing_to_compare() -> None:
    row = misses_row("x", {"hybrid": 0.9, "bm25": 1.0, "dense": 0.8}, 10, Asked(at_most=0.6))
    assert (row.value, row.ok) == (None, None)


def test_limit_takes_the_first_questions(data: Path) -> None:
    result = bench("--data", str(data), "--json", "--limit", "1")
    assert {row["n"] for row in json.loads(result.stdout)["rows"] if not row["name"].endswith("joins")} == {1}


def test_without_data_the_exit_code_is_3_with_the_reason_and_the_next_step(tmp_path: Path) -> None:
    result = bench("--data", str(tmp_path), "--json")
    assert result.exit_code == 3
    assert result.stdout == ""
    assert f"{tmp_path}/spider/tables.json: No such file or directory; set KVASIR_DATA" in result.stderr


def test_the_environment_names_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KVASIR_DATA", str(tmp_path / "elsewhere"))
    assert "elsewhere" in bench().stderr


@pytest.mark.parametrize("content", ["", "no json", "[1]", '{"question": "x"}'])
def test_a_file_that_holds_something_else_is_named(data: Path, content: str) -> None:
    (data / "spider" / "dev.jsonl").write_text(content)
    with pytest.raises(DataUnavailable, match=r"dev\.jsonl"):
        load_questions(data, "dev")
    (data / "spider" / "tables.json").write_text(content)
    with pytest.raises(DataUnavailable, match=r"tables\.json"):
        load_schemas(data)


def test_weights_are_fitted_on_databases_that_no_benchmark_asks_about(data: Path, embedder: SentenceEmbedder) -> None:
    questions = [
        {"db_id": "unused", "question": "What is the tonnage of each ship?", "gold_tables": ["ship"]},
        {"db_id": "harbour", "question": "Which crane is the oldest?", "gold_tables": ["crane"]},
        {"db_id": "pets", "question": "What is the weight of all pets?", "gold_tables": ["pets"]},
    ]
    more = [schema("harbour", {"Crane": ["age"], "Quay": ["length"]})]
    (data / "spider" / "tables.json").write_text(json.dumps([*SCHEMAS, *more]))
    (data / "spider" / "train1196.jsonl").write_text("\n".join(map(json.dumps, questions)) + "\n")
    said: list[str] = []
    rows = fitted_weights(data, embedder, said.append)
    # The two questions about other databases and, of one of them, what is left without its column's name; each on a
    # base without and one with values.
    assert said == ["3 questions about 2 databases, 3 tables"]
    weights = [row for row in rows if row.unit == "weight"]
    assert len(weights) == 17
    assert {row.n for row in weights} == {6}
    assert all(row.value is not None and isfinite(row.value) for row in weights)


@pytest.mark.skipif(not (DATA / "spider" / "dev.jsonl").is_file(), reason="the Spider data is not at KVASIR_DATA")
def test_a_quick_run_on_the_real_data_measures() -> None:
    result = bench("--data", str(DATA), "--json", "--limit", "5")
    assert result.exit_code == 0, result.output
    rows = [row for row in json.loads(result.stdout)["rows"] if not row["name"].endswith("joins")]
    assert {row["n"] for row in rows} == {5}
    measured = [row for row in rows if row["interval"]]
    assert len(measured) == 24
    assert all(row["interval"][0] <= row["value"] <= row["interval"][1] for row in measured)
