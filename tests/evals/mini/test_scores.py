"""Rows of a set, of a curve and of abilities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backend.mini.answer_file import (
    prompt_of,
)
from backend.mini.evaluate import held_out
from backend.mini.training import Training
from evals.bench.mini.abilities import ABILITIES, ability_rows
from evals.bench.mini.prompts import Task, tasks_of
from evals.bench.mini.question_set import Group, Question, QuestionSet, Step
from evals.bench.mini.scores import refused_row, set_rows
from evals.bench.mini.template_sets import template_sets
from kb.embedding import SentenceEmbedder

from .made import (
    answered,
    book_of,
    prompt,
    rows_by_name,
    say,
)


def test_a_curve_has_a_row_a_point_with_what_its_confirmed_answers_gained(
    data: Path, embedder: SentenceEmbedder
) -> None:
    asked = template_sets(data)[0]
    tasks = tasks_of([asked], embedder, say)

    def said(task: Task) -> str | None:
        learned = bool(task.step.confirmed)
        if learned or task.question.id == "geography-1":
            return task.question.gold[0] if task.step.label != "empty base" else "SELECT nothing"
        return None

    answers = [answered("k", text=said(task)) for task in tasks]
    rows = rows_by_name(set_rows(asked, tasks, answers, "greedy", say))
    values = {name: row.value for name, row in rows.items()}
    assert values == {
        "geography question split, empty base, greedy": 0.0,
        "geography question split, empty base, answers that run, greedy": 0.0,
        "geography question split, 0 confirmed answers, greedy": 0.5,
        "geography question split, 0 confirmed answers, answers that run, greedy": 0.5,
        "geography question split, 10 confirmed answers, greedy": 1.0,
        "geography question split, 10 confirmed answers, answers that run, greedy": 1.0,
        "geography question split, 21 confirmed answers, greedy": 1.0,
        "geography question split, 21 confirmed answers, answers that run, greedy": 1.0,
        "geography question split, gain of 21 confirmed answers, greedy": 0.5,
    }
    last = rows["geography question split, 21 confirmed answers, greedy"]
    assert (last.n, last.unit, last.baseline) == (2, "execution match", {"schemas": 0.5})
    assert last.interval == pytest.approx((0.342, 1.0), abs=0.001)
    assert rows["geography question split, 0 confirmed answers, greedy"].baseline == {"empty base": 0.0}
    assert rows["geography question split, gain of 21 confirmed answers, greedy"].interval == (0.0, 1.0)
    assert refused_row("curve", answers, "greedy").value == sum(answer.text is None for answer in answers) == 2


def test_where_there_is_no_database_statements_are_compared_and_the_unit_says_so(
    data: Path, embedder: SentenceEmbedder
) -> None:
    asked = next(asked for asked in template_sets(data) if asked.name == "atis query split")
    tasks = tasks_of([asked], embedder, say)
    answers = [answered("k", text="select name from state where 2 = area") for _ in tasks]
    rows = set_rows(asked, tasks, answers, "greedy", say)
    assert {(row.value, row.unit) for row in rows if "gain" not in row.name} == {(0.5, "SQL equality")}


def test_a_question_whose_own_statement_does_not_run_is_left_out_and_told(data: Path) -> None:
    file = data / "spider" / "database" / "pets.sqlite"
    questions = (Question("1", "a", ("SELECT 1",)), Question("2", "b", ("SELECT gone",)))
    step = Step("schemas")
    asked = QuestionSet("x", "execution match", (Group("pets", file, questions, (step,)),))
    tasks = [Task(asked, asked.groups[0], step, question, prompt("")) for question in questions]
    told: list[str] = []
    rows = set_rows(asked, tasks, [answered("k"), answered("k")], "greedy", told.append)
    assert [(row.n, row.value) for row in rows] == [(1, 1.0), (1, 1.0)]
    assert told == ["x: 1 questions left out, their own statement does not run"]


def test_abilities_compare_with_the_same_questions_without_the_knowledge(model: Path, scripted: Any) -> None:
    seed = Training().held_out_seed
    right: dict[str, str] = {}
    for ability in ABILITIES:
        for case in held_out(ability.row, 2, seed):
            right[prompt_of(case.sample.messages).key] = case.sample.answer
            case.connection.close()
    scripted(lambda prompt: right.get(prompt.key, "SELECT no_such_column"))
    rows = rows_by_name(ability_rows(book_of(model), 2, "greedy", say))
    told = rows["gotcha contradicts the obvious column, greedy"]
    assert (told.value, told.ok, told.n, told.baseline) == (1.0, True, 2, {"without it": 0.0})
    without = rows["gotcha contradicts the obvious column, without it, greedy"]
    assert (without.value, without.ok) == (0.0, True)
    valid = rows["SQL parses and names existing columns, greedy"]
    assert (valid.value, valid.n, valid.ok) == (1.0, 2 * len(ABILITIES), True)
    bounds = {name: row.asked.at_least for name, row in rows.items() if row.asked and row.asked.at_least}
    assert list(bounds.values()) == [0.9, 0.9, 0.85, 0.9, 0.85, 0.8, 0.99]
