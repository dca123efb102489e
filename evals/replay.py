"""Replay: the same cases at two commits, and the implementation of `gateway.replay.Replay`.

Prompts are pure functions, so a case whose prompt and verified answer are the same at both commits has the same
answer, and no engine is asked. Where the tables that such an answer reads have changed, what is stored of it is judged
again. Nothing that users see is stored: no trace and no session, only engines' answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial

from evals.answers import Answers
from evals.asked_prompts import Asked, AskedPrompts, asked
from evals.at_once import in_order
from evals.case import Case, SqlResult
from evals.changed_schema import ChangedSchema
from evals.paired import paired_test
from evals.run import prepare_case
from evals.scoring import CaseJudge, Tally
from evals.success_cases import success_cases
from evals.suite import load_suite
from evals.trial import same_result, try_at
from evals.verdict import cannot_be_decided, case_verdict, replay_verdict
from gateway.answering import Prepared
from gateway.core import Assistant, Core
from gateway.prefix_cost import LANDING_REQUESTS, RECENT_REQUESTS, prefix_cost
from gateway.replay import CaseOutcome, CaseReplay, Judged, ReplayReport
from gateway.traces import Trace

OnReplay = Callable[[CaseReplay], None]
AGAIN = 4
"""So many times the repeats are drawn where a case of several repeats seems to have changed."""
UNCHANGED = "the prompt is the same at both commits"


@dataclass(frozen=True, slots=True)
class SuiteReplay:
    """A `gateway.replay.Replay` for one core. Call it from a thread that runs no event loop."""

    recent_requests: int = LANDING_REQUESTS
    prompts: AskedPrompts = field(default_factory=AskedPrompts, compare=False)

    def __call__(self, core: Core, assistant: Assistant, base: str, head: str) -> ReplayReport:
        """Replay the assistant's suite, if it has one, and every confirmed success of `head`.

        The suite's cases are put to this assistant, as often as the larger of the suite's and the assistant's
        repeats. Raises `SuiteNotFound`, `SuiteInvalid`, `CommitNotFound`.
        """
        cases: list[Case] = []
        repeats = assistant.settings.repeats
        if assistant.settings.suite is not None:
            suite = load_suite(assistant.settings.suite, assistant=assistant.name)
            cases += suite.cases
            repeats = max(repeats, suite.repeats)
        cases += success_cases(assistant, assistant.base.resolve(head).id, besides=cases)
        return compare(
            core,
            assistant,
            cases,
            base=base,
            head=head,
            repeats=repeats,
            recent_requests=self.recent_requests,
            prompts=self.prompts,
        )

    def same_result(self, assistant: Assistant, answer: str, accepted: str) -> Judged:
        return same_result(assistant, answer, accepted)

    def try_at(self, core: Core, assistant: Assistant, trace: Trace, accepted: str, commit: str) -> Judged:
        return try_at(core, assistant, trace, accepted, commit)


def compare(
    core: Core,
    assistant: Assistant,
    cases: Sequence[Case],
    *,
    base: str,
    head: str,
    repeats: int = 1,
    recent_requests: int = RECENT_REQUESTS,
    on_case: OnReplay | None = None,
    prompts: AskedPrompts | None = None,
) -> ReplayReport:
    """Judge every case at both commits and what differs; `on_case` is told each result, in the order of the cases.

    Several cases are under way at a time. The cost to the cache is told over the assistant's `recent_requests`; 0
    leaves it out. `prompts` is what earlier replays of this core found that cases ask.
    """
    before, after = assistant.base.resolve(base).id, assistant.base.resolve(head).id
    answers = Answers(core)
    tables = (core.retriever.tables(assistant.base, revision=commit) for commit in (before, after))
    schema = ChangedSchema(*tables)
    comparison = _Comparison(core, assistant, before, after, answers, repeats, prompts or AskedPrompts(), schema)

    async def report() -> ReplayReport:
        done: list[CaseReplay] = []
        async with aclosing(in_order(partial(comparison.of, case) for case in cases)) as results:
            async for result in results:
                done.append(result)
                if on_case is not None:
                    on_case(_told(result))
        paired = paired_test(done)
        return ReplayReport(
            before,
            after,
            replay_verdict(done, paired),
            tuple(_told(case) for case in done),
            answers.engine_calls,
            answers.stored_answers,
            paired,
            await prefix_cost(core, assistant, before, after, recent=recent_requests),
        )

    return asyncio.run(report())


@dataclass(frozen=True, slots=True)
class _Comparison:
    """Of two commits, `before` and `after`, case by case."""

    core: Core
    assistant: Assistant
    before: str
    after: str
    answers: Answers
    repeats: int
    prompts: AskedPrompts
    schema: ChangedSchema

    async def of(self, case: Case) -> CaseReplay:
        await asyncio.sleep(0)  # where an interrupt gets in: a stored answer waits for nothing
        return _listed(case, await self._compared(case))

    async def _compared(self, case: Case) -> CaseReplay:
        known = self.prompts.get(self.assistant, self.before, case)
        head, asked_after = self._prepared(case, self.after)
        if known is not None and known == asked_after and not self._reads_what_changed(case, head):
            return _unchanged(case)
        base, asked_before = self._prepared(case, self.before)
        if asked_before == asked_after:
            return await self._of_one_prompt(case, base, head)
        judge = CaseJudge(case, self.answers, self.assistant.datasource)
        before = await judge.tally(base, self.repeats)
        if cannot_be_decided(before):
            # Whatever head's answer, the case stays undecided: an engine that is out of order is not waited for twice.
            return CaseReplay(case.id, case.question, True, None, None, "undecided", f"base: {before.last.message}")
        after = await judge.tally(head, self.repeats)
        verdict = case_verdict(before, after)
        if verdict in ("better", "worse") and self.repeats > 1:
            # Few draws show that much by chance too often; more of them, these among them, decide.
            before, after = [await judge.tally(side, AGAIN * self.repeats) for side in (base, head)]
            verdict = case_verdict(before, after)
        detail = _detail(before, after)
        return CaseReplay(case.id, case.question, True, _outcome(before), _outcome(after), verdict, detail)

    def _reads_what_changed(self, case: Case, prepared: Prepared) -> bool:
        """Whether the engine's stored answers may be right at one commit alone. A verified answer is compared with the
        tables of its commit.
        """
        checked = any(isinstance(expectation, SqlResult) for expectation in case.expect)
        if prepared.verified is not None or not checked or not self.schema.columns:
            return False
        return any(map(self.schema.is_read_by, self.answers.stored(prepared, self.repeats) or ()))

    async def _of_one_prompt(self, case: Case, base: Prepared, head: Prepared) -> CaseReplay:
        """No engine is asked: its stored answers are those of both sides."""
        if not self._reads_what_changed(case, head):
            return _unchanged(case)
        judge = CaseJudge(case, self.answers, self.assistant.datasource)
        before, after = await judge.tally(base, self.repeats), await judge.tally(head, self.repeats)
        verdict = case_verdict(before, after)
        if verdict == "same":
            return _unchanged(case)
        detail = f"{UNCHANGED}, and the tables that the answer reads are not; {_detail(before, after)}"
        return CaseReplay(case.id, case.question, False, _outcome(before), _outcome(after), verdict, detail)

    def _prepared(self, case: Case, commit: str) -> tuple[Prepared, Asked]:
        prepared = prepare_case(self.core, self.assistant, case, commit)
        what = asked(self.core, prepared)
        self.prompts.keep(self.assistant, commit, case, what)
        return prepared, what


def _unchanged(case: Case) -> CaseReplay:
    return CaseReplay(case.id, case.question, False, None, None, "same", UNCHANGED)


def _outcome(tally: Tally) -> CaseOutcome | None:
    if tally.status == "undecided":
        return None
    return CaseOutcome(tally.passed, tally.repeats, tally.last.message, tally.answer)


def _listed(case: Case, result: CaseReplay) -> CaseReplay:
    """The result as the suite's flaky list and held-out part have it."""
    result = replace(result, held_out=case.held_out, flaky_listed=case.flaky is not None)
    if case.flaky is None or result.verdict not in ("better", "worse"):
        return result
    measured = f"{case.flaky.passed} of {case.flaky.repeats} at {case.flaky.commit[:12]} on {case.flaky.measured}"
    detail = f"{result.verdict}, and on the flaky list ({measured}); {result.detail}"
    return replace(result, verdict="flaky", detail=detail)


def _told(result: CaseReplay) -> CaseReplay:
    """What a report says of it: of a held-out case no more than the verdict, so that nobody tunes on it."""
    if not result.held_out:
        return result
    return replace(result, question="", base=None, head=None, detail="held out")


def _detail(before: Tally, after: Tally) -> str:
    if before.last == after.last:
        return f"both: {before.last.message}" if before.last.reason else ""
    sides = (("base", before), ("head", after))
    return "; ".join(f"{side}: {tally.last.message}" for side, tally in sides if tally.last.reason)
