"""`kvasir eval run`: ask a suite's cases at one commit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from evals.answers import Answers
from evals.at_once import in_order
from evals.case import Case
from evals.interval import PassRate, pass_rate
from evals.scoring import CaseJudge, Status
from evals.suite import Suite
from gateway.answering import Ask, Prepared, prepare
from gateway.core import Assistant, Core
from gateway.sessions import Session


@dataclass(frozen=True, slots=True)
class CaseRun:
    """A case `passed` if every one of its `repeats` did. `reason`, `detail`, `answer` are of the last that did not.

    One on the flaky list (`flaky_listed`) counts neither in the pass rate nor in the exit code.
    """

    id: str
    question: str
    tags: tuple[str, ...]
    status: Status
    passed: int
    repeats: int
    reason: str = ""
    detail: str = ""
    answer: str = ""
    flaky_listed: bool = False


@dataclass(frozen=True, slots=True)
class RunReport:
    """`pass_rate` is over the cases that could be judged, `None` where none could.

    `held_out` counts the cases that were left to the gate; `stored_answers` those that no engine was asked for anew.
    """

    suite: str
    assistant: str
    commit: str
    cases: tuple[CaseRun, ...]
    pass_rate: PassRate | None
    engine_calls: int
    stored_answers: int = 0
    held_out: int = 0

    @property
    def verdict(self) -> Status:
        """A failed case counts before one that could not be judged, which counts before all that passed."""
        deciding = {case.status for case in self.cases if not case.flaky_listed}
        if "failed" in deciding:
            return "failed"
        return "passed" if deciding == {"passed"} else "undecided"

    def of_status(self, status: Status) -> tuple[CaseRun, ...]:
        return tuple(case for case in self.cases if case.status == status)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


OnCase = Callable[[CaseRun], None]


def run_suite(
    core: Core,
    suite: Suite,
    *,
    tenant: str,
    revision: str | None = None,
    fresh: bool = False,
    on_case: OnCase | None = None,
) -> RunReport:
    """Ask every case that is not held out, at `revision`, else at the assistant's commit.

    Several cases are under way at a time; `on_case` is told each result, in the order of the suite. `fresh` draws every
    answer anew and stores none. Not to be called from a running event loop. Raises `AssistantNotFound`,
    `CommitNotFound`; a case that cannot be judged is a result.
    """
    assistant = core.assistant(tenant, suite.assistant)
    # One commit for the whole run: a proposal may land meanwhile.
    commit = assistant.base.resolve(revision or assistant.revision).id
    answers = Answers(core, fresh=fresh)

    async def all_cases() -> tuple[CaseRun, ...]:
        done: list[CaseRun] = []
        work = (partial(_run_case, core, assistant, case, answers, commit, suite.repeats) for case in suite.open_cases)
        async with aclosing(in_order(work)) as results:
            async for result in results:
                done.append(result)
                if on_case is not None:
                    on_case(result)
        return tuple(done)

    cases = asyncio.run(all_cases())
    judged = [case for case in cases if case.status != "undecided" and not case.flaky_listed]
    rate = pass_rate(sum(case.status == "passed" for case in judged), len(judged))
    held_out = len(suite.cases) - len(suite.open_cases)
    return RunReport(
        suite.name, assistant.name, commit, cases, rate, answers.engine_calls, answers.stored_answers, held_out
    )


def prepare_case(core: Core, assistant: Assistant, case: Case, commit: str) -> Prepared:
    """The case's prompt at a commit: as a new conversation, whatever users have asked before."""
    ask = Ask(assistant.settings.tenant, assistant.name, case.conversation)
    return prepare(core, ask, revision=commit, session=Session("eval"))


async def _run_case(
    core: Core, assistant: Assistant, case: Case, answers: Answers, commit: str, repeats: int
) -> CaseRun:
    await asyncio.sleep(0)  # where an interrupt gets in: a stored answer waits for nothing
    prepared = prepare_case(core, assistant, case, commit)
    tally = await CaseJudge(case, answers, assistant.datasource).tally(prepared, repeats)
    last = tally.last
    return CaseRun(
        case.id,
        case.question,
        case.tags,
        tally.status,
        tally.passed,
        tally.repeats,
        last.reason,
        last.detail,
        tally.answer,
        flaky_listed=case.flaky is not None,
    )
