"""What a case's expectations say of a prepared question and its answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial

from backend.errors import BackendError, ContextTooLong
from evals.answers import Answers
from evals.at_once import in_order
from evals.case import AnswerExpectation, Case, Judge, Refuses, Retrieves, SqlResult
from evals.engine_judge import judge_by_engine, judge_missing
from evals.judgement import PASSED as PASSED
from evals.judgement import Judgement as Judgement
from evals.judgement import Status as Status
from evals.sql_result import Comparison, compare_with_any
from evals.text_scoring import TextExpectation, judge_text
from gateway.answering import Prepared
from gateway.datasource import Datasource, ResultTable
from gateway.errors import (
    DatasourceError,
    DatasourceUnavailable,
    EngineNotConfigured,
    PromptTooLong,
    StatementRefused,
)
from gateway.verification import sql_of

_STATUS: dict[str, Status] = {"equal": "passed", "different": "failed", "undecided": "undecided"}


@dataclass(frozen=True, slots=True)
class Tally:
    """How many of a case's draws passed at one commit. `last` is the last judgement that was not a pass.

    An undecided draw makes the whole undecided: `passed` then means nothing. `answer` is the one of `last`, or the
    last one where all passed; empty where none was drawn.
    """

    passed: int
    repeats: int
    last: Judgement = PASSED
    answer: str = ""

    @property
    def status(self) -> Status:
        if self.last.status == "undecided":
            return "undecided"
        return "passed" if self.passed == self.repeats else "failed"


class CaseJudge:
    """Judges one case, at as many commits as it is given. The accepted statements run once, when first needed."""

    def __init__(self, case: Case, answers: Answers, datasource: Datasource | None) -> None:
        self._case, self._answers, self._datasource = case, answers, datasource
        self._accepted: dict[SqlResult, _Accepted | Judgement] = {}

    async def tally(self, prepared: Prepared, repeats: int) -> Tally:
        """Judge `repeats` draws. What needs no draw is judged first, so that no engine is asked in vain."""
        retrieval = self._retrieval(prepared)
        if retrieval.status != "passed":
            return Tally(0, repeats, retrieval)
        wanted = [expectation for expectation in self._case.expect if not isinstance(expectation, Retrieves)]
        if not wanted:
            return Tally(repeats, repeats)
        for expectation in wanted:
            if (in_vain := self._cannot_be_judged(expectation, prepared)) is not None:
                return Tally(0, repeats, in_vain)
        try:
            confirmed = await self._answers.confirmed(prepared)
            if confirmed is not None:
                judgement = await self._judge(prepared, confirmed, wanted)
                return Tally(repeats if judgement.status == "passed" else 0, repeats, judgement, confirmed)
            return await self._draws(prepared, repeats, wanted)
        except (PromptTooLong, ContextTooLong) as exc:
            return Tally(0, repeats, Judgement("failed", "PROMPT_TOO_LONG", str(exc)))
        except EngineNotConfigured as exc:
            return Tally(0, repeats, Judgement("undecided", "ENGINE_MISSING", str(exc)))
        except BackendError as exc:
            return Tally(0, repeats, Judgement("undecided", "ENGINE_FAILED", str(exc)))

    async def _draws(self, prepared: Prepared, repeats: int, wanted: Sequence[AnswerExpectation]) -> Tally:
        passed, last, shown = 0, PASSED, ""
        async with aclosing(in_order(partial(self._answers.draw, prepared, n) for n in range(repeats))) as answers:
            async for answer in answers:
                judgement = await self._judge(prepared, answer, wanted)
                if judgement.status == "undecided":
                    return Tally(passed, repeats, judgement, answer)
                if judgement.status == "failed":
                    last, shown = judgement, answer
                else:
                    passed += 1
                    shown = shown if last is not PASSED else answer
        return Tally(passed, repeats, last, shown)

    def _retrieval(self, prepared: Prepared) -> Judgement:
        for expectation in self._case.expect:
            if isinstance(expectation, Retrieves):
                judgement = judge_retrieval(prepared, expectation)
                if judgement.status != "passed":
                    return judgement
        return PASSED

    async def _judge(self, prepared: Prepared, answer: str, wanted: Sequence[AnswerExpectation]) -> Judgement:
        for expectation in wanted:
            if isinstance(expectation, Judge):
                judgement = await judge_by_engine(expectation, prepared, answer, self._answers)
            else:
                judgement = self._judge_one(prepared, answer, expectation)
            if judgement.status != "passed":
                return judgement
        return PASSED

    def _cannot_be_judged(self, expectation: AnswerExpectation, prepared: Prepared) -> Judgement | None:
        """Why no answer could be judged by it, whatever it said."""
        if isinstance(expectation, Judge):
            return judge_missing(expectation, prepared, self._answers)
        if isinstance(expectation, Refuses) and self._datasource is None:
            return datasource_missing("refuses")
        accepted = self._accepted_by(expectation) if isinstance(expectation, SqlResult) else None
        return accepted if isinstance(accepted, Judgement) else None

    def _judge_one(self, prepared: Prepared, answer: str, expectation: SqlResult | TextExpectation) -> Judgement:
        if not isinstance(expectation, SqlResult):
            return judge_text(expectation, answer, self._datasource, self._answers.embedder)
        accepted = self._accepted_by(expectation)
        assert isinstance(accepted, _Accepted), "what cannot be judged was told before any draw"
        assert self._datasource is not None, "the accepted statements ran on it"
        tables = self._answers.tables(prepared)
        return judge_sql(self._datasource, answer, accepted, ordered=expectation.ordered, tables=tables)

    def _accepted_by(self, expectation: SqlResult) -> _Accepted | Judgement:
        if expectation not in self._accepted:
            self._accepted[expectation] = run_accepted(self._datasource, expectation)
        return self._accepted[expectation]


@dataclass(frozen=True, slots=True)
class _Accepted:
    """Results by statement; `note` tells of accepted statements that do not run."""

    results: dict[str, ResultTable]
    note: str = ""


def judge_retrieval(prepared: Prepared, expectation: Retrieves) -> Judgement:
    ids = [hit.item.id for hit in prepared.retrieval.hits]
    missing = [p for p in expectation.patterns if not any(fnmatchcase(item_id, p) for item_id in ids)]
    if not missing:
        return PASSED
    detail = f"{', '.join(missing)} not among the {len(ids)} retrieved: {', '.join(ids) or 'none'}"
    return Judgement("failed", "NOT_RETRIEVED", detail)


def run_accepted(datasource: Datasource | None, expectation: SqlResult) -> _Accepted | Judgement:
    """Run the accepted statements. Without a single result, nothing can be judged."""
    if datasource is None:
        return datasource_missing("sql_result")
    results: dict[str, ResultTable] = {}
    problems: list[str] = []
    for sql in map(sql_of, expectation.accepted):
        try:
            results[sql] = datasource.run(sql)
        except DatasourceUnavailable as exc:
            return Judgement("undecided", "DATASOURCE_UNAVAILABLE", str(exc))
        except DatasourceError as exc:
            problems.append(str(exc))
    if not results:
        return Judgement("undecided", "NO_ACCEPTED_ANSWER_RUNS", problems[-1])
    note = f" ({len(problems)} accepted statement(s) did not run: {problems[-1]})" if problems else ""
    return _Accepted(results, note)


def datasource_missing(expectation: str) -> Judgement:
    detail = f"{expectation} needs a datasource and the assistant has none; set it in kvasir.toml"
    return Judgement("undecided", "DATASOURCE_MISSING", detail)


def judge_sql(
    datasource: Datasource,
    answer: str,
    accepted: _Accepted,
    *,
    ordered: bool,
    tables: Mapping[str, Collection[str]] | None = None,
) -> Judgement:
    """Run the answer's statement and compare what it gives with the accepted results.

    With `tables`, a name that they do not know is an error, as it is for whoever asks: SQLite would take
    `"2025"` for a text where there is no such column.
    """
    sql = sql_of(answer)
    if (refused := _refused(datasource, sql, tables)) is not None:
        return refused
    if sql in accepted.results:
        return PASSED
    compared = _run_and_compare(datasource, sql, accepted, ordered=ordered)
    if isinstance(compared, Judgement):
        return compared
    detail = compared.detail + (accepted.note if compared.outcome != "equal" else "")
    return Judgement(_STATUS[compared.outcome], compared.reason or "", detail)


def _refused(datasource: Datasource, sql: str, tables: Mapping[str, Collection[str]] | None) -> Judgement | None:
    try:
        datasource.check(sql)
    except StatementRefused as exc:
        return Judgement("failed", "NOT_SQL", str(exc))
    try:
        datasource.check(sql, schemas=tables or None)
    except StatementRefused as exc:
        return Judgement("failed", "EXECUTION_ERROR", str(exc))
    return None


def _run_and_compare(datasource: Datasource, sql: str, accepted: _Accepted, *, ordered: bool) -> Comparison | Judgement:
    try:
        result = datasource.run(sql)
    except DatasourceUnavailable as exc:
        return Judgement("undecided", "DATASOURCE_UNAVAILABLE", str(exc))
    except DatasourceError as exc:
        return Comparison("different", "EXECUTION_ERROR", str(exc))
    return compare_with_any(list(accepted.results.values()), result, ordered=ordered)
