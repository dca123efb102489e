"""Single answers, judged as a replay judges them: what a gotcha's proof and the comparison of two answers need."""

from __future__ import annotations

import asyncio

from evals.answers import Answers
from evals.case import Case, SqlResult
from evals.scoring import CaseJudge, Judgement, Tally, judge_sql, run_accepted
from gateway.answering import Ask, prepare
from gateway.conversation import Conversation
from gateway.core import Assistant, Core
from gateway.replay import Judged, Rightness
from gateway.sessions import Session
from gateway.traces import Trace

_AWAY = ("ENGINE_FAILED", "DATASOURCE_UNAVAILABLE")


def same_result(assistant: Assistant, answer: str, accepted: str) -> Judged:
    """Whether two answers give one result, as `sql_result` compares them."""
    results = run_accepted(assistant.datasource, SqlResult((accepted,)))
    if isinstance(results, Judgement):
        return _judged(Tally(0, 1, results))
    assert assistant.datasource is not None, "the accepted statement ran on it"
    judgement = judge_sql(assistant.datasource, answer, results, ordered=False)
    return _judged(Tally(int(judgement.status == "passed"), 1, judgement))


def try_at(core: Core, assistant: Assistant, trace: Trace, accepted: str, commit: str) -> Judged:
    """What the engine answers to a request's conversation at `commit`, without the client's own system text.

    Answers are stored and used again.
    """
    asked = Ask(trace.tenant, assistant.name, Conversation((), trace.messages), user=trace.user)
    prepared = prepare(core, asked, revision=commit, session=Session("eval"))
    answers = Answers(core)
    judge = CaseJudge(Case(trace.id, trace.question, (SqlResult((accepted,)),)), answers, assistant.datasource)
    tally = asyncio.run(judge.tally(prepared, assistant.settings.repeats))
    return _judged(tally, answers.engine_calls)


def _judged(tally: Tally, engine_calls: int = 0) -> Judged:
    return Judged(_rightness(tally), tally.last.message, engine_calls)


def _rightness(tally: Tally) -> Rightness:
    if tally.status == "undecided":
        return "away" if tally.last.reason in _AWAY else "undecided"
    if tally.status == "passed":
        return "right"
    return "wrong" if 2 * tally.passed < tally.repeats else "undecided"
