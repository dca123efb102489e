"""From answers to figures: one row a question set and step of its base, and what a curve gained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from backend.mini.answer_file import Answered, Decoding
from evals.bench.bootstrap import mean_interval
from evals.bench.mini.curve import point_name
from evals.bench.mini.execution import Judged, judge_by_rows
from evals.bench.mini.knowledge import tables_of
from evals.bench.mini.prompts import Task
from evals.bench.mini.question_set import Group, QuestionSet, Step
from evals.bench.mini.sql_equality import Tables, same_sql
from evals.bench.row import Row
from evals.interval import pass_rate
from gateway.verification import sql_of


@dataclass(frozen=True, slots=True)
class _Scored:
    """A set's questions at one step; those that cannot be judged are left out."""

    step: Step
    judged: tuple[Judged, ...]

    @property
    def right(self) -> int:
        return sum(judged.right for judged in self.judged)


def set_rows(
    asked: QuestionSet,
    tasks: Sequence[Task],
    answers: Sequence[Answered],
    decoding: Decoding,
    say: Callable[[str], None],
) -> list[Row]:
    """`tasks` are those of `asked`, in order, with an answer each."""
    scored = list(_scored(tasks, answers))
    questions = sum(len(group.questions) for group in asked.groups)
    if scored and len(scored[0].judged) < questions:
        say(f"{asked.name}: {questions - len(scored[0].judged)} questions left out, their own statement does not run")
    rows: list[Row] = []
    baseline: dict[str, float] = {}
    for step in scored:
        name = f"{asked.name}, {step.step.label}"
        if step.step.confirmed is not None:
            name = point_name(asked.name, step.step.confirmed)
        rate = pass_rate(step.right, len(step.judged))
        if rate is None:
            continue
        rows.append(
            Row(f"{name}, {decoding}", rate.rate, asked.measure, rate.total, (rate.low, rate.high), dict(baseline))
        )
        if step.step.label in ("empty base", "schemas"):
            baseline = {step.step.label: rate.rate}
        if asked.measure == "execution match":
            runs = pass_rate(sum(judged.runs for judged in step.judged), rate.total)
            assert runs is not None
            rows.append(
                Row(f"{name}, answers that run, {decoding}", runs.rate, "share", rate.total, (runs.low, runs.high))
            )
    return rows + _gain(asked, scored, decoding)


def refused_row(section: str, answers: Sequence[Answered], decoding: Decoding) -> Row:
    """Prompts that left no room for an answer, or whose grammar failed: the gateway refuses them, so they are wrong."""
    return Row(
        f"{section}: prompts refused, {decoding}",
        float(sum(answer.text is None for answer in answers)),
        "prompts",
        len(answers),
    )


def _scored(tasks: Sequence[Task], answers: Sequence[Answered]) -> Iterator[_Scored]:
    by_step: dict[str, tuple[Step, list[Judged]]] = {}
    for task, answer in zip(tasks, answers, strict=True):
        _, judged = by_step.setdefault(task.step.label, (task.step, []))
        verdict = _judge(task, answer)
        if verdict is not None:
            judged.append(verdict)
    return (_Scored(step, tuple(judged)) for step, judged in by_step.values())


def _judge(task: Task, answer: Answered) -> Judged | None:
    gold = task.question.gold
    if task.group.file is not None:
        return judge_by_rows(task.group.file, gold, answer.text, task.set.clock)
    if answer.text is None:
        return Judged(False, False)
    sql, tables = sql_of(answer.text), _tables(task.group)
    return Judged(any(same_sql(accepted, sql, tables) for accepted in gold), False)


def _tables(group: Group) -> Tables:
    return tuple(tables_of(item for step in group.steps for item in step.added).items())


def _gain(asked: QuestionSet, scored: Sequence[_Scored], decoding: Decoding) -> list[Row]:
    """What the confirmed answers changed, question by question, from the first point of a curve to its last."""
    points = [step for step in scored if step.step.confirmed is not None]
    if len(points) < 2:
        return []
    first, last = points[0], points[-1]
    changes = [
        float(after.right) - float(before.right) for before, after in zip(first.judged, last.judged, strict=True)
    ]
    if not changes:
        return []
    name = f"{asked.name}, gain of {last.step.confirmed} confirmed answers, {decoding}"
    return [Row(name, sum(changes) / len(changes), "points of 1", len(changes), mean_interval(changes))]
