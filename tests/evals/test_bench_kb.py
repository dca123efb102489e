"""The benchmark of the knowledge base: bases small enough to count by hand, glossaries and slips with known answers."""

from __future__ import annotations

import json
import random
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from evals.bench.cli import group
from evals.bench.errors import ReplicaEnded
from evals.bench.kb.benchmark import Plan, kb_rows
from evals.bench.kb.glossary_recall import glossary_rows, needed_lines
from evals.bench.kb.large_base import edited, item, large_base
from evals.bench.kb.misspelled import gotcha_rows, gotchas_of, misspell
from evals.bench.kb.retrieval import _until, retrieval_rows
from evals.bench.kb.stand_ins import NOISE, StandIns
from evals.bench.kb.versions import version_rows
from evals.bench.kb.warehouse import edited_item, warehouse_item
from evals.bench.row import Asked
from kb.embedding import SentenceEmbedder
from kb.items import Column, Gotcha, Item, Schema
from kb.search_text import search_text


def test_a_large_base_holds_the_same_items_each_time() -> None:
    with large_base(40) as base:
        items = base.snapshot().items
        assert set(items.values()) == {item(number) for number in range(40)}
        kinds = [each.kind for each in items.values()]
        assert {kind: kinds.count(kind) for kind in set(kinds)} == {
            "schema": 4,
            "metric": 4,
            "gotcha": 4,
            "success": 28,
        }


def test_an_edition_is_a_change_of_that_item_alone() -> None:
    assert edited(3, 1) != item(3)
    assert edited(3, 1) != edited(3, 2)
    assert edited(3, 1).id == item(3).id


def test_every_figure_is_measured_and_nothing_is_lost() -> None:
    told: list[str] = []
    rows = {row.name: row for row in version_rows(told.append, large=1_500, commits=40)}
    assert [row.n for row in rows.values()] == [40, 40, 50, 40, 40, 40, 40]
    for what in ("lost commits", "missing items", "broken objects"):
        assert rows[f"10 processes at once, {what}"].value == 0
    copies = rows["storage of 40 commits of one item, 1,500 items"].value
    assert copies is not None
    assert 0 < copies < 0.05
    assert told


def test_a_warehouse_holds_the_same_items_each_time_each_with_an_id_of_its_own() -> None:
    items = [warehouse_item(number) for number in range(1_000)]
    assert items == [warehouse_item(number) for number in range(1_000)]
    assert len({item.id for item in items}) == 1_000
    kinds = [item.kind for item in items]
    of_two = {"schema": 120, "relationship": 120, "metric": 120, "gotcha": 120, "document": 120}
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {**of_two, "rule": 5, "success": 395}


def test_an_edited_metric_is_one_of_the_warehouse_with_a_text_of_its_own() -> None:
    items = {item.id: item for item in map(warehouse_item, range(1_000))}
    for number in (0, 499, 999):
        edited = edited_item(number, 1)
        assert search_text(edited) not in {search_text(items[edited.id]), search_text(edited_item(number, 2))}


def test_stand_ins_are_unit_vectors_near_real_ones_and_the_same_each_time(embedder: SentenceEmbedder) -> None:
    stand_ins = StandIns(embedder)
    examples, texts = ["orders of customers", "the weight of parcels"], [f"text {number}" for number in range(40)]
    with stand_ins.made_up(examples):
        made = stand_ins.embed(texts)
        assert (made == stand_ins.embed(texts)).all()
    assert np.linalg.norm(made, axis=1) == pytest.approx(1.0, abs=1e-6)
    nearest = (made @ embedder.embed(examples).T).max(axis=1)
    assert nearest == pytest.approx(1 / np.sqrt(1 + NOISE**2), abs=0.1)
    assert (stand_ins.embed(["a question"]) == embedder.embed(["a question"])).all()


def test_retrieval_is_measured_at_the_head_far_behind_it_and_in_a_replica(embedder: SentenceEmbedder) -> None:
    told: list[str] = []
    rows = {row.name: row for row in retrieval_rows(embedder, told.append, items=1_000, commits=20, questions=15)}
    assert [row.n for row in rows.values()] == [15, 15, 5, 20, 20, 20]
    assert all(row.value is not None and row.value > 0 for row in rows.values())
    assert rows["retrieval 20 commits back, beside the head"].asked == Asked(at_most=1.3)
    assert told


def test_a_replica_that_ends_early_is_told() -> None:
    with pytest.raises(ReplicaEnded, match="ended before it had commit abcdef"):
        _until(iter([("other", 1.0)]), "abcdef0123456789")


def test_acknowledged_commits_that_are_not_there_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    from kb.knowledge_base import KnowledgeBase

    whole = KnowledgeBase.log
    monkeypatch.setattr(KnowledgeBase, "log", lambda base, *given, **named: whole(base, *given, **named)[3:])
    rows = {row.name: row for row in version_rows(lambda _: None, large=100, commits=20)}
    lost = rows["10 processes at once, lost commits"]
    assert (lost.value, lost.ok) == (3, False)


def test_the_command_prints_the_form_of_all_benchmarks() -> None:
    result = CliRunner().invoke(group, ["kb", "--items", "1000", "--commits", "20", "--only", "versions", "--json"])
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert len(printed["rows"]) == 7
    assert printed["machine"]["cores"]


def test_without_the_data_of_any_section_the_exit_code_is_3_and_with_one_the_others_are_told(tmp_path: Path) -> None:
    result = CliRunner().invoke(group, ["kb", "--only", "glossary", "--only", "gotchas", "--data", str(tmp_path)])
    assert result.exit_code == 3
    assert "glossary left out: " in result.stderr
    assert "gotchas left out: " in result.stderr
    told: list[str] = []
    rows = kb_rows(Plan(("versions", "tables"), tmp_path, 100, 10), told.append)
    assert len(rows) == 7
    assert any(line.startswith("tables left out: ") for line in told)


LINES = {
    "g0": "`cars.id` can be joined with `car_id` from `sales`",
    "g1": "Total Sales = SUM(sale_price) from `sales` table",
    "g2": "Always use sales.sale_date instead of sales.crtd_ts.",
    "g3": "Session Density (SD) = COUNT(sales.id)",
    "g4": "Weeks begin on Monday",
}


@pytest.fixture
def defog(tmp_path: Path) -> Path:
    folder = tmp_path / "defog"
    (folder / "db").mkdir(parents=True)
    with sqlite3.connect(folder / "db" / "dealer.sqlite") as file:
        file.execute("CREATE TABLE cars (id INTEGER, make TEXT)")
        file.execute("CREATE TABLE sales (id INTEGER, car_id INTEGER, sale_price REAL, sale_date TEXT, crtd_ts TEXT)")
    file.close()
    lines = [{"id": key, "db_id": "dealer", "text": text} for key, text in LINES.items()]
    (folder / "glossary.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path


@pytest.mark.parametrize(
    ("question", "accepted", "needed"),
    [
        ("Who?", ["SELECT 1 FROM cars AS c JOIN sales AS s ON c.id = s.car_id"], {"g0"}),
        ("Who?", ["SELECT 1 FROM sales WHERE car_id = 3"], set()),
        ("How much?", ["SELECT SUM(s.sale_price) FROM sales AS s"], {"g1"}),
        ("How much?", ["SELECT AVG(sale_price) FROM sales"], set()),
        ("How much?", ["SELECT 1", "SELECT SUM(sale_price) FROM sales"], {"g1"}),
        ("When?", ["SELECT sale_date FROM sales"], set()),
        ("When?", ["SELECT sale_date, crtd_ts FROM sales"], {"g2"}),
        ("What is the session density?", ["SELECT 1"], {"g3"}),
        ("What is SD?", ["SELECT ((("], {"g3"}),
        ("What is an SDK?", ["SELECT 1"], set()),
        ("Weeks?", ["SELECT 1"], set()),
    ],
)
def test_which_glossary_lines_a_task_needs(defog: Path, question: str, accepted: list[str], needed: set[str]) -> None:
    task = {"question": question, "db_id": "dealer", "gold_sql": accepted}
    (defog / "defog" / "tasks.jsonl").write_text(json.dumps(task) + "\n" + json.dumps({**task, "db_id": "other"}))
    assert needed_lines(defog) == [{f"document:{key}" for key in needed}, set()]


def test_the_glossary_is_measured_by_tasks_that_need_a_line(defog: Path, embedder: SentenceEmbedder) -> None:
    tasks = [
        {"question": "What is the session density?", "db_id": "dealer", "gold_sql": ["SELECT 1"]},
        {"question": "When?", "db_id": "dealer", "gold_sql": ["SELECT 1"]},
    ]
    (defog / "defog" / "tasks.jsonl").write_text("\n".join(map(json.dumps, tasks)))
    told: list[str] = []
    rows = glossary_rows(defog, embedder, told.append)
    assert [(row.name, row.value, row.n) for row in rows] == [
        ("glossary recall@3 hybrid", 1.0, 1),
        ("glossary recall@3 bm25", 1.0, 1),
        ("glossary recall@3 dense", 1.0, 1),
        ("glossary as metrics recall@3 hybrid", 1.0, 1),
        ("glossary as metrics recall@3 bm25", 1.0, 1),
        ("glossary as metrics recall@3 dense", 1.0, 1),
    ]
    assert [row.ok for row in rows] == [True, None, None, None, None, None]
    assert told == ["5 lines of 1 glossaries, 1 tasks that need one"]


def test_a_slip_is_one_edit_and_never_the_name_itself() -> None:
    draw = random.Random(1)
    seen = {misspell("abc", draw) for _ in range(4_000)}
    assert "abc" not in seen
    assert {"bc", "acb", "bac", "xabc", "abxc", "abcx", "xbc"} <= seen
    assert {len(slip) for slip in seen} == {2, 3, 4}


def test_names_that_are_spelled_alike_have_one_gotcha() -> None:
    columns = tuple(Column(name, "text") for name in ("order_id", "orderId", "__"))
    found = gotchas_of([Item("schema:orders", "x", Schema("Orders", columns))])
    assert [item.entities[0].name for item in found] == ["Orders", "order_id"]
    assert all(isinstance(item.body, Gotcha) for item in found)


def test_slips_and_false_alarms_are_counted_by_hand(tmp_path: Path) -> None:
    folder = tmp_path / "spider"
    folder.mkdir()
    tables = {
        "db_id": "d",
        "table_names_original": ["customers"],
        "column_names_original": [[-1, "*"], [0, "country"]],
        "column_types": ["text", "text"],
    }
    (folder / "tables.json").write_text(json.dumps([tables]))
    asked = [{"question": q, "db_id": "d", "gold_tables": ["customers"]} for q in ("All customers", "Each contry")]
    for split in ("dev", "realistic", "train1196"):
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, asked)))
    told: list[str] = []
    rows = {row.name: row for row in gotcha_rows(tmp_path, told.append)}
    assert rows["dev false alarms"].value == 0.5
    assert "dev: read as misspelled: contry" in told
    recall = rows["dev gotchas of misspelled names, 4 letters or more"]
    assert (recall.value, recall.n, recall.ok) == (1.0, 1, True)
