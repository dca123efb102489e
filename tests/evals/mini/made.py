"""What the tests of `kvasir bench mini` are made of: databases, prompts, scripted answers."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from backend.mini import answer as answer_module
from backend.mini.answer_file import (
    Answered,
    Prompt,
    prompt_of,
)
from evals.bench.cli import group
from evals.bench.mini.answer_book import AnswerBook
from evals.bench.row import Row

PETS = """
CREATE TABLE pets (id INTEGER PRIMARY KEY, kind TEXT, weight REAL);
INSERT INTO pets VALUES (1, 'dog', 12.5), (2, 'cat', 4.0), (3, 'dog', 30.0);
"""


STATES = "CREATE TABLE state (name TEXT, area REAL); INSERT INTO state VALUES ('ohio', 1), ('utah', 2), ('iowa', 3);"


def say(_: str) -> None:
    """Nobody listens."""


def write_lines(path: Path, records: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def make_database(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(path) as connection:
        connection.executescript(script)
    connection.close()
    return path


def template(number: int, area: int, question_split: str, query_split: str) -> dict[str, Any]:
    return {
        "id": f"geography-{number}",
        "question": f"which state has the area {area}",
        "gold_sql": [f"SELECT Salias0.name FROM state AS Salias0 WHERE Salias0.area = {area} ;"],
        "question_split": question_split,
        "query_split": query_split,
    }


class Scripted:
    """Stands where the answerer does; says what `text_of` makes of a prompt."""

    decoding, device, dtype = "greedy", "cpu", "float32"

    def __init__(self, text_of: Callable[[Prompt], str | None]) -> None:
        self.text_of = text_of
        self.asked: list[Prompt] = []

    def made(self, prompts: Sequence[Prompt], _batch: int) -> Any:
        for place, prompt in reversed(list(enumerate(prompts))):
            self.asked.append(prompt)
            yield place, answer_module.Made(self.text_of(prompt), 10, 5)


def book_of(model: Path, file: Path | None = None) -> AnswerBook:
    return AnswerBook(model, device="cpu", batch=4, file=file, say=say)


def answered(key: str, model: str = "m", text: str | None = "SELECT 1") -> Answered:
    return Answered(key, model, "greedy", "cpu", "float32", text, 10, 5)


def prompt(text: str, **tables: list[str]) -> Prompt:
    return prompt_of([{"role": "user", "content": text}], tables)


def rows_by_name(rows: Sequence[Row]) -> dict[str, Row]:
    assert len({row.name for row in rows}) == len(rows)
    return {row.name: row for row in rows}


def result_row(name: str, value: float | None, unit: str = "execution match") -> dict[str, Any]:
    interval = None if value is None else [value - 0.1, value + 0.1]
    return {"name": name, "value": value, "unit": unit, "interval": interval}


def mini(*arguments: str) -> Result:
    return CliRunner().invoke(group, ["mini", *arguments])
