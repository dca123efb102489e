"""The benchmark of confirmed answers and templates, on template sets small enough to count by hand."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from evals.bench.errors import DataUnavailable
from evals.bench.kb.pattern_recall import pattern_rows
from evals.bench.mini.template_sets import COMPARED, EXECUTED
from kb.embedding import SentenceEmbedder

HEAD = "Table Name, Field Name, Is Primary Key, Is Foreign Key, Type"


def record(number: int, template: int, question: str, split: str) -> dict:
    sql = f"SELECT name FROM city WHERE template = {template}"
    return {"id": str(number), "template": template, "question": question, "gold_sql": [sql], "question_split": split}


RECORDS = [
    record(0, 1, "how many people live in the state of texas", "train"),
    record(1, 1, "how many people live in the state of ohio", "train"),
    record(2, 2, "name the longest river", "train"),
    record(3, 3, "which mountains are high", "train"),
    record(4, 4, "name the longest river of europe", "train"),
    record(5, 1, "how many people live in the state of maine", "dev"),
    record(6, 9, "a template that no training question has", "dev"),
    record(7, 3, "name the longest river", "dev"),
    record(8, 2, "name the longest river of all", "test"),
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "text2sql_templates"
    folder.mkdir()
    with sqlite3.connect(folder / f"{EXECUTED}.sqlite") as database:
        database.execute("CREATE TABLE city (name TEXT, template INTEGER)")
    for name in (EXECUTED, *COMPARED):
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(entry)}\n" for entry in RECORDS))
        (folder / f"{name}-schema.csv").write_text(f"{HEAD}\ncity, name, n, n, text\ncity, template, n, n, int\n")
    return tmp_path


def test_a_question_needs_one_item_of_its_template(data: Path, embedder: SentenceEmbedder) -> None:
    told: list[str] = []
    rows = {row.name: row for row in pattern_rows(data, embedder, told.append)}
    assert len(rows) == 8
    for name in (EXECUTED, *COMPARED):
        # Of the dev questions, one has a template that nobody confirmed; one asks in the words of another template.
        assert [rows[f"{name} {kind}"].n for kind in ("success hit@3", "template hit@2")] == [2, 2]
        assert rows[f"{name} template hit@2"].value == 0.5
        assert set(rows[f"{name} template hit@2"].baseline) == {"bm25", "dense"}
    assert f"{EXECUTED}: 5 confirmed questions; 2 to ask whose template is among them" in told


def test_a_set_without_its_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataUnavailable, match="geography"):
        pattern_rows(tmp_path, SentenceEmbedder(), lambda _: None)
