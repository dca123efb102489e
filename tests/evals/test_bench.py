"""The one form of every benchmark, and the retrieval benchmark on schemas small enough to work out by hand."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from evals.bench.bootstrap import mean_interval
from evals.bench.cli import group
from evals.bench.errors import DataUnavailable
from evals.bench.machine import machine_facts
from evals.bench.report import BenchReport, print_report
from evals.bench.retrieval import recall
from evals.bench.row import Asked, Row
from evals.bench.spider import TableQuestion, load_questions, load_schemas, table_id
from evals.bench.weights import search_weights
from kb.embedding import SentenceEmbedder

DATA = Path(os.environ.get("KVASIR_DATA", "../shared/data"))
FIELDS = {"name", "value", "unit", "asked", "ok", "n", "interval", "baseline"}


def schema(database: str, tables: dict[str, list[str]]) -> dict[str, Any]:
    columns = [(place, column) for place, listed in enumerate(tables.values()) for column in listed]
    return {
        "db_id": database,
        "table_names_original": list(tables),
        "column_names_original": [[-1, "*"], *([place, column] for place, column in columns)],
        "column_types": ["text"] * (len(columns) + 1),
    }


SCHEMAS = [
    schema("pets", {"Student": ["stuid", "age"], "Has_Pet": ["stuid", "petid"], "Pets": ["petid", "weight"]}),
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
    return CliRunner().invoke(group, ["retrieval", *arguments])


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
    print_report(BenchReport("figures", rows, machine_facts()), Console(file=out, width=160))
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.getvalue().splitlines() if "│" in line]
    assert lines == [
        ["reached", "0.910 share", "0.800 – 0.950", "12", "bm25 0.500", "≥ 0.900", "yes"],
        ["missed [x]", "12,346 ms", "–", "3", "–", "≤ 10", "no"],
        ["unmeasured", "–", "–", "0", "–", "–", "–"],
    ]


def test_the_machine_is_told_without_its_name() -> None:
    facts = machine_facts()
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
    result = recall(questions, lambda _: ["1", "2", "3", "4", "5", "6", "7"])
    assert result.shares == (1.0, 0.5, 0.0)
    assert (result.mean, result.complete) == (0.5, 1)


def test_gold_tables_name_schema_items_in_any_case(data: Path) -> None:
    schemas = load_schemas(data)
    questions = load_questions(data, "dev")
    assert questions[1].needed == {table_id("museum", "Visitor"), "schema:museum.exhibit"}
    assert questions[1].needed == {item.id for item in schemas["museum"]}


def test_the_benchmark_gives_every_method_and_split_in_the_one_form(data: Path) -> None:
    result = bench("--data", str(data), "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report.keys() == {"rows", "machine"}
    assert all(row.keys() == FIELDS for row in report["rows"])
    assert [row["name"] for row in report["rows"]] == [
        f"{split} {measure} {method}"
        for split in ("dev", "realistic")
        for method in ("hybrid", "bm25", "dense")
        for measure in ("recall@5", "all tables in 5")
    ]
    # The base holds the five tables of the two known databases, so the first five are all of them.
    assert {row["value"] for row in report["rows"]} == {1.0}
    assert {row["n"] for row in report["rows"]} == {2}
    assert report["rows"][0]["baseline"] == {"bm25": 1.0, "dense": 1.0}
    assert report["rows"][2]["baseline"] is None
    assert "1 of 3 questions left out, no schema of ['gone']" in result.stderr
    assert "5 tables of 2 databases" in result.stderr


def test_limit_takes_the_first_questions(data: Path) -> None:
    result = bench("--data", str(data), "--json", "--limit", "1")
    assert {row["n"] for row in json.loads(result.stdout)["rows"]} == {1}


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


def test_the_search_for_weights_tries_the_whole_grid_best_first(data: Path, embedder: SentenceEmbedder) -> None:
    trials = search_weights(data, embedder, lambda _: None)
    assert len({trial.weights for trial in trials}) == 64
    assert [trial.chosen for trial in trials] == sorted((trial.chosen for trial in trials), reverse=True)


@pytest.mark.skipif(not (DATA / "spider" / "dev.jsonl").is_file(), reason="the Spider data is not at KVASIR_DATA")
def test_a_quick_run_on_the_real_data_measures() -> None:
    result = bench("--data", str(DATA), "--json", "--limit", "5")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["rows"]
    assert {row["n"] for row in rows} == {5}
    assert all(row["interval"][0] <= row["value"] <= row["interval"][1] for row in rows)
