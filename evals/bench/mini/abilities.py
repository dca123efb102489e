"""What the model was trained to do, on databases, schemas and questions of the held-out seed.

Where knowledge decides the answer, the same questions are asked again with it taken out: what is right then was
guessed, not read.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from backend.mini.answer_file import Decoding, Prompt, prompt_of
from backend.mini.evaluate import Case, held_out, is_right
from backend.mini.training import Training
from evals.bench.mini.answer_book import AnswerBook
from evals.bench.row import Asked, Row
from evals.interval import pass_rate

_TABLE = re.compile(r"^<schema id=.*>\nTable ([^\s:]+)", re.MULTILINE)
VALID = 0.99
"""Of the answers to questions whose context suffices, the share that must parse and name existing columns only."""


@dataclass(frozen=True, slots=True)
class Ability:
    """`row` is the generator's name for it (`backend.mini.evaluate.ROWS`), and `without` the row with the knowledge
    taken out, of which at most `at_most` may be right. Where a bound is `None`, nothing is asked."""

    row: str
    name: str
    at_least: float | None = None
    without: str | None = None
    at_most: float | None = None


ABILITIES = (
    Ability("plain", "plain questions, schemas in context", 0.90),
    Ability("gotcha in context", "gotcha contradicts the obvious column", 0.90, "gotcha taken out", 0.10),
    Ability("metric defined", "metric to expand", 0.85, "metric taken out", 0.10),
    Ability("success", "success of the same template", 0.90, "success taken out"),
    Ability("success among five", "success among five distractors", 0.85),
    Ability("follow-up", "follow-up question", 0.80),
    Ability("rule", "rule in context"),
    Ability("unit", "gotcha names a unit"),
)


@dataclass(frozen=True, slots=True)
class _Tally:
    passed: int
    valid: int
    total: int


def ability_prompts(cases: int) -> Iterator[Prompt]:
    """The prompts of every row, `cases` each."""
    for ability in ABILITIES:
        for row in (ability.row, ability.without):
            for case in held_out(row, cases, Training().held_out_seed) if row else ():
                yield prompt_of_case(case)
                case.connection.close()


def ability_rows(book: AnswerBook, cases: int, decoding: Decoding, say: Callable[[str], None]) -> list[Row]:
    rows: list[Row] = []
    suffices: list[_Tally] = []
    for ability in ABILITIES:
        with_it = _tally(book, ability.row, cases, decoding)
        suffices.append(with_it)
        say(f"{ability.name}: {with_it.passed} of {with_it.total}")
        baseline = {}
        if ability.without:
            guessed = _tally(book, ability.without, cases, decoding)
            baseline = {"without it": guessed.passed / guessed.total}
        name = f"{ability.name}, {decoding}"
        asked = Asked(at_least=ability.at_least) if ability.at_least is not None else None
        rows.append(_row(name, with_it.passed, with_it.total, asked, baseline))
        if ability.without:
            asked = Asked(at_most=ability.at_most) if ability.at_most is not None else None
            rows.append(_row(f"{ability.name}, without it, {decoding}", guessed.passed, guessed.total, asked))
    valid, total = sum(tally.valid for tally in suffices), sum(tally.total for tally in suffices)
    rows.append(_row(f"SQL parses and names existing columns, {decoding}", valid, total, Asked(at_least=VALID)))
    return rows


def _tally(book: AnswerBook, row: str, cases: int, decoding: Decoding) -> _Tally:
    made = list(held_out(row, cases, Training().held_out_seed))
    answers = book.ask([prompt_of_case(case) for case in made], decoding)
    passed = valid = 0
    for case, answer in zip(made, answers, strict=True):
        right, _ = is_right(case, answer.text or "")
        passed += right
        valid += is_valid(case, answer.text or "")
        case.connection.close()
    return _Tally(passed, valid, len(made))


def prompt_of_case(case: Case) -> Prompt:
    """With the tables that it shows and their columns, as the case's database has them."""
    shown = "\n".join(message["content"] for message in case.sample.messages)
    columns = {
        name: [row[1] for row in case.connection.execute(f'PRAGMA table_info("{name}")')]
        for name in _TABLE.findall(shown)
    }
    return prompt_of(case.sample.messages, columns)


def is_valid(case: Case, sql: str) -> bool:
    """Whether SQLite can prepare it: it parses, and every table, column and function in it exists."""
    try:
        case.connection.execute(f"EXPLAIN {sql}").fetchall()
    except (sqlite3.Error, sqlite3.Warning):
        return False
    return True


def _row(name: str, passed: int, total: int, asked: Asked | None, baseline: dict[str, float] | None = None) -> Row:
    rate = pass_rate(passed, total)
    assert rate is not None, "every row has cases"
    return Row(name, rate.rate, "share", total, (rate.low, rate.high), baseline or {}, asked)
