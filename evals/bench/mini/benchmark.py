"""The whole benchmark of a model: its sections, each measured where what it needs is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from backend.mini.answer_file import Decoding, Prompt, write_prompts
from evals.bench.errors import BenchUnavailable
from evals.bench.mini.abilities import ability_prompts, ability_rows
from evals.bench.mini.answer_book import AnswerBook
from evals.bench.mini.defog_set import defog_set
from evals.bench.mini.prompts import Task, tasks_of
from evals.bench.mini.question_set import QuestionSet
from evals.bench.mini.scores import refused_row, set_rows
from evals.bench.mini.speed import speed_rows
from evals.bench.mini.spider_sets import spider_sets
from evals.bench.mini.template_sets import template_sets
from evals.bench.row import Row
from kb.embedding import Embedder

Section = Literal["abilities", "third-party", "curve", "speed"]
SECTIONS: tuple[Section, ...] = get_args(Section)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure of the model in `model`, and where its answers come from. `limit` is per question set."""

    model: Path
    data: Path
    sections: tuple[Section, ...] = SECTIONS
    cases: int = 500
    decodings: tuple[Decoding, ...] = ("greedy",)
    device: str = "cpu"
    batch: int = 16
    answers: Path | None = None
    limit: int | None = None


@dataclass(slots=True)
class Measured:
    """`facts` say which model answered, and how many answers each device made."""

    rows: list[Row] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)


class MiniBenchmark:
    """One plan under way. `say` gets progress, and why a section was left out."""

    def __init__(self, plan: Plan, embedder: Embedder, say: Callable[[str], None]) -> None:
        self._plan, self._embedder, self._say = plan, embedder, say

    def measure(self) -> Measured:
        """Raises `BenchUnavailable` where no section could be measured."""
        plan, measured = self._plan, Measured()
        book = self._book()
        failures: list[BenchUnavailable] = []
        for section in plan.sections:
            try:
                measured.rows += self._rows(section, book)
            except BenchUnavailable as exc:
                failures.append(exc)
                self._say(f"{section} left out: {exc}")
        if failures and not measured.rows:
            raise failures[0]
        measured.facts = {"model": book.model, "answers": dict(book.made_by)}
        return measured

    def write_prompts(self, path: Path) -> int:
        """The prompts of the chosen sections that lack an answer. The model need not be there: then all of them."""
        try:
            book: AnswerBook | None = self._book()
        except BenchUnavailable:
            book = None
        prompts = list(self._prompts())
        if book:
            prompts = [prompt for how in self._plan.decodings for prompt in book.missing(prompts, how)]
        return write_prompts(path, prompts)

    def _book(self) -> AnswerBook:
        plan = self._plan
        return AnswerBook(plan.model, device=plan.device, batch=plan.batch, file=plan.answers, say=self._say)

    def _prompts(self) -> Iterator[Prompt]:
        if "abilities" in self._plan.sections:
            yield from ability_prompts(self._plan.cases)
        for section in self._plan.sections:
            for task in tasks_of(self._sets(section), self._embedder, self._say):
                yield task.prompt

    def _rows(self, section: Section, book: AnswerBook) -> list[Row]:
        plan = self._plan
        if section == "speed":
            return speed_rows(plan.model, self._say)
        if section == "abilities":
            return [row for how in plan.decodings for row in ability_rows(book, plan.cases, how, self._say)]
        sets = self._sets(section)
        tasks = tasks_of(sets, self._embedder, self._say)
        return [row for how in plan.decodings for row in self._set_rows(section, sets, tasks, book, how)]

    def _set_rows(
        self, section: Section, sets: Sequence[QuestionSet], tasks: Sequence[Task], book: AnswerBook, how: Decoding
    ) -> list[Row]:
        answers = book.ask([task.prompt for task in tasks], how)
        rows: list[Row] = []
        for asked in sets:
            places = [place for place, task in enumerate(tasks) if task.set is asked]
            own = [tasks[place] for place in places], [answers[place] for place in places]
            rows += set_rows(asked, *own, how, self._say)
            self._say(f"{asked.name}: judged")
        return [*rows, refused_row(section, answers, how)]

    def _sets(self, section: Section) -> list[QuestionSet]:
        data, limit = self._plan.data, self._plan.limit
        if section == "third-party":
            return [*spider_sets(data, limit), defog_set(data, limit)]
        return template_sets(data, limit) if section == "curve" else []
