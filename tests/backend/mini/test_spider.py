"""Spider's training questions as training text: names spelled anew in schema and query alike, literals exchanged."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from backend.mini.sample import Sample
from backend.mini.spider import Spider

SCHEMA = {
    "db_id": "zoo",
    "table_names_original": ["Keepers", "animal"],
    "table_names": ["keepers", "animal"],
    "column_names_original": [
        [-1, "*"], [0, "Keeper_ID"], [0, "full_name"], [1, "animal_ID"], [1, "kept_by"], [1, "weight"],
    ],
    "column_names": [[-1, "*"], [0, "keeper id"], [0, "full name"], [1, "animal id"], [1, "kept by"], [1, "weight"]],
    "column_types": ["text", "number", "text", "number", "number", "number"],
    "primary_keys": [1, [3]],
    "foreign_keys": [[4, 1]],
}  # fmt: skip
QUESTIONS = [
    ("How many animals are heavier than 250 ?", "SELECT count(*) FROM Animal WHERE  WEIGHT  >  250", ["animal"]),
    (
        "What do the animals of 'Ada Berg' weigh?",
        "SELECT T2.weight FROM keepers AS T1 JOIN animal AS T2 ON T1.keeper_id = T2.kept_by "
        "WHERE T1.full_name = 'Ada Berg'",
        ["keepers", "animal"],
    ),
]


@pytest.fixture
def spider(tmp_path: Path) -> Spider:
    records = [
        {"db_id": "zoo", "question": text, "gold_sql": [sql], "gold_tables": tables} for text, sql, tables in QUESTIONS
    ]
    (tmp_path / "train1196.jsonl").write_text("\n".join(map(json.dumps, records)))
    (tmp_path / "tables.json").write_text(json.dumps([SCHEMA]))
    return Spider(tmp_path)


def turns(sample: Sample) -> list[tuple[str, str]]:
    said = [message["content"] for message in sample.messages[1:]] + [sample.answer]
    return list(zip(said[::2], said[1::2], strict=True))


def created(context: str) -> str:
    """The tables that a context shows, as SQL."""
    tables = []
    for name, columns in re.findall(r"<schema id=.*?>\nTable (\S+)\n(.*?)\n</schema>", context, re.DOTALL):
        names = re.findall(r"^- (\S+)", columns, re.MULTILINE)
        tables.append(f"CREATE TABLE {name} ({', '.join(names)});")
    return "".join(tables)


def test_every_query_runs_on_the_tables_that_its_context_shows(spider: Spider) -> None:
    spellings = set()
    for sample in spider.samples(Random(1), 150):
        context = sample.messages[0]["content"]
        spellings.add(re.search(r"Table (\S+)", context)[1])  # type: ignore[index]
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.executescript(created(context))
            for _, sql in turns(sample):
                connection.execute(sql)
                assert "  " not in sql
    assert len(spellings) > 6


def test_names_are_the_schemas_in_case_too(spider: Spider) -> None:
    for sample in spider.samples(Random(2), 60):
        context = sample.messages[0]["content"]
        names = set(re.findall(r"^(?:Table|-) (\S+)", context, re.MULTILINE))
        for _, sql in turns(sample):
            table = re.search(r"FROM (\w+)", sql)[1]  # type: ignore[index]
            assert table in names


def test_a_literal_is_the_same_in_question_and_query(spider: Spider) -> None:
    numbers, people = set(), set()
    for sample in spider.samples(Random(3), 100):
        for question, sql in turns(sample):
            if found := re.search(r"> (\d+)", sql):
                numbers.add(found[1])
                assert f" {found[1]} " in question
            else:
                person = sql.split("'")[1]
                people.add(person)
                assert f"'{person}'" in question
    assert len(numbers) > 10
    assert len(people) > 10


def test_the_same_seed_draws_the_same_samples(spider: Spider) -> None:
    assert list(spider.samples(Random(4), 5)) == list(spider.samples(Random(4), 5))


def test_its_words_are_those_of_questions_and_names(spider: Spider) -> None:
    assert {"heavier", "weigh", "keepers", "kept"} <= set(spider.words)
    assert "by" not in spider.words
