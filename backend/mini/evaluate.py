"""Execution match by skill, on databases and templates that no training run has seen.

`python -m backend.mini.evaluate MODEL [--cases N] [--device cuda]`. Each row's questions are those of the generator
under the held-out seed; both queries run on the sample's own database and their rows are compared as multisets. Two
rows take the knowledge out again: what is still right then was not read from it.
"""

from __future__ import annotations

import argparse
import json
import re
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from math import sqrt
from pathlib import Path
from random import Random

from backend.engine import Message
from backend.mini.answer import Answerer
from backend.mini.database import fill, random_database
from backend.mini.sample import Sample
from backend.mini.skills import Skills
from backend.mini.training import Training

_QUERY_STEPS = 2_000_000
"""SQLite's instructions that an answer may take: a join without a condition would never end."""
_Z_95 = 1.959964


@dataclass(frozen=True, slots=True)
class Case:
    row: str
    sample: Sample
    connection: sqlite3.Connection


@dataclass(frozen=True, slots=True)
class Row:
    """Shares of 1; `low` and `high` are the 95 % interval of `rate` (Wilson). `runs` are answers that execute."""

    row: str
    passed: int
    total: int
    rate: float
    low: float
    high: float
    runs: int


def _without(kind: str) -> Callable[[Sample], Sample]:
    block = re.compile(rf"\n\n<{kind} id=.*?</{kind}>", re.DOTALL)

    def taken_out(sample: Sample) -> Sample:
        system = Message(role="system", content=block.sub("", sample.messages[0]["content"]))
        return replace(sample, messages=(system, *sample.messages[1:]))

    return taken_out


def _as_it_is(sample: Sample) -> Sample:
    return sample


ROWS: dict[str, tuple[Callable[[Skills], Sample | None], Callable[[Sample], Sample]]] = {
    "plain": (Skills.plain, _as_it_is),
    "gotcha in context": (lambda skills: skills.gotcha(), _as_it_is),
    "gotcha taken out": (lambda skills: skills.gotcha(), _without("gotcha")),
    "metric defined": (Skills.metric, _as_it_is),
    "metric taken out": (Skills.metric, _without("metric")),
    "success": (lambda skills: skills.success(elsewhere=True), _as_it_is),
    "success among five": (lambda skills: skills.success(distractors=5), _as_it_is),
    "success taken out": (lambda skills: skills.success(elsewhere=True), _without("success")),
    "follow-up": (Skills.follow_up, _as_it_is),
    "rule": (Skills.rule, _as_it_is),
    "unit": (Skills.unit, _as_it_is),
}


def held_out(row: str, count: int, seed: int) -> Iterator[Case]:
    """One case a database, `count` databases that the skill lends itself to; of templates held out from training."""
    make, change = ROWS[row]
    number = made = 0
    while made < count:
        random = Random(f"{seed}/{number}")
        number += 1
        spec = random_database(random)
        connection = fill(spec, random)
        sample = make(Skills(spec, connection, random, held_out=True))
        if sample is None:
            connection.close()
            continue
        made += 1
        yield Case(row, change(sample), connection)


def rows_of(connection: sqlite3.Connection, sql: str) -> Counter[tuple[object, ...]] | None:
    """The rows as a multiset, numbers rounded; `None` where the query fails, is none, writes or does not end."""
    connection.execute("PRAGMA query_only = 1")
    connection.set_progress_handler(lambda: 1, _QUERY_STEPS)
    try:
        cursor = connection.execute(sql)
        found = cursor.fetchall()
    except (sqlite3.Error, sqlite3.Warning):
        return None
    if cursor.description is None:
        return None
    return Counter(tuple(round(cell, 4) if isinstance(cell, float) else cell for cell in row) for row in found)


def is_right(case: Case, answer: str) -> tuple[bool, bool]:
    """Whether the answer gives the expected rows, and whether it runs at all."""
    expected, found = rows_of(case.connection, case.sample.answer), rows_of(case.connection, answer)
    return found is not None and found == expected, found is not None


def wilson(row: str, passed: int, total: int, runs: int) -> Row:
    rate, z = passed / total, _Z_95
    middle = (rate + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * sqrt(rate * (1 - rate) / total + z * z / (4 * total * total))
    return Row(row, passed, total, round(rate, 4), round(middle - half, 4), round(middle + half, 4), runs)


def evaluate(
    answer: Callable[[Sequence[Sequence[Message]]], list[str]],
    *,
    cases: int,
    seed: int,
    names: Sequence[str] = tuple(ROWS),
) -> tuple[list[Row], list[dict[str, str]]]:
    """The rows of the table, and the cases that were answered wrongly."""
    rows: list[Row] = []
    wrong: list[dict[str, str]] = []
    for row in names:
        made = list(held_out(row, cases, seed))
        passed = runs = 0
        for case, said in zip(made, answer([case.sample.messages for case in made]), strict=True):
            right, ran = is_right(case, said)
            passed += right
            runs += ran
            if not right:
                question = case.sample.messages[-1]["content"]
                wrong.append({"row": row, "question": question, "expected": case.sample.answer, "answer": said})
            case.connection.close()
        rows.append(wilson(row, passed, len(made), runs))
    return rows, wrong


def main() -> None:
    options = argparse.ArgumentParser(description="Execution match of a model folder on held-out databases.")
    options.add_argument("model", type=Path)
    options.add_argument("--cases", type=int, default=500, help="a row")
    options.add_argument("--device", default="cpu")
    options.add_argument("--batch", type=int, default=16)
    options.add_argument("--seed", type=int, default=Training().held_out_seed)
    options.add_argument("--row", action="append", choices=list(ROWS), help="only this row; may be given again")
    given = options.parse_args()
    answerer = Answerer(given.model, given.device)
    rows, wrong = evaluate(
        lambda prompts: answerer.answers(prompts, given.batch),
        cases=given.cases,
        seed=given.seed,
        names=given.row or list(ROWS),
    )
    json.dump({"rows": [asdict(row) for row in rows], "wrong": wrong}, sys.stdout, indent=1, ensure_ascii=False)


if __name__ == "__main__":
    main()
