"""People who confirm answers, one in so many times carelessly, with the gate and without it.

A person asks, looks at the answer, and confirms it or corrects it. With the gate each confirmation goes the way of the
product: capture, and a curator for what waits, who is as careless. Without it, whatever parses is committed as it is.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from random import Random

from backend.errors import BackendError, ContextTooLong
from backend.mini.database import DatabaseSpec
from evals.bench.errors import EngineFailed
from evals.bench.learning.clues import clues
from evals.bench.learning.confirmations import Confirmation, Stream
from evals.bench.learning.world import AUTHOR, TENANT, World
from evals.replay import SuiteReplay
from evals.trial import same_result
from gateway.answering import Ask, answer, prepare
from gateway.capture import Capture
from gateway.capture_worker import CaptureWorker
from gateway.confirming import confirm
from gateway.conversation import parse_conversation
from gateway.errors import PromptTooLong, StatementRefused
from gateway.lesson import learn, rules
from gateway.proposals import Proposal, Verdict
from gateway.traces import Trace
from gateway.verification import sql_of
from kb.errors import NothingToCommit
from kb.introspect import introspect
from kb.introspection_changes import introspection_changes
from kb.items import Success
from kb.knowledge_base import Changes

REVIEWER, CURATOR = "rita", "ada"
_DECISIONS = 3
"""So often a curator is asked about one proposal: approving what was not replayed yet replays it first."""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What became of one confirmation. `taught` is the statement that the person called right.

    `wrong` is whether it gives other rows than the right one did then; `mistake` says how the person was careless.
    `told` is what could have told that, from what was known then. `by` is who decided: the gate, a curator, or nobody
    where there is no gate; `why` is what it landed, waited or failed for.
    """

    confirmation: Confirmation
    request: str
    taught: str
    wrong: bool
    mistake: str
    state: str
    by: str
    why: str
    told: tuple[str, ...] = ()

    @property
    def landed(self) -> bool:
        return self.state == "landed"


def reviewed(world: World, stream: Stream, *, gated: bool, wrong: float) -> Iterator[Reviewed]:
    """Ask and judge everything in `stream`, and change the schema where it says so.

    `wrong` is the share of a curator's decisions that are careless, too. Raises `EngineFailed` where a prompt that fits
    gets no answer.
    """
    _introspect(world, world.spec)
    review = _Review(world, Random(f"curator/{world.seed}"), wrong)
    for confirmation in stream.confirmations:
        if confirmation.step == stream.change_at:
            with closing(sqlite3.connect(world.database)) as database:
                stream.change.apply_to(database)
            _introspect(world, stream.change.spec)
        yield review.of(confirmation, gated=gated)


def _introspect(world: World, spec: DatabaseSpec) -> None:
    """Bring the base in line with the database, with the values of its categories, as `kvasir kb introspect` does."""
    sampled = [f"{t.name}.{c.name}" for t in spec.tables for c in t.columns if c.role == "category"]
    items = introspect(f"sqlite:///{world.database}", sample=sampled if spec.sampled else ())
    with suppress(NothingToCommit):
        changes = introspection_changes(world.base.snapshot(), items)
        world.base.commit(changes, author=AUTHOR, message="Introspect the database")


class _Review:
    def __init__(self, world: World, random: Random, wrong: float) -> None:
        self._core, self._assistant, self._random, self._wrong = world.core, world.assistant, random, wrong
        self._capture = Capture(world.core, SuiteReplay(recent_requests=0))
        self._worker = CaptureWorker(world.core, self._capture)

    def of(self, confirmation: Confirmation, *, gated: bool) -> Reviewed:
        trace = self._asked(confirmation.text)
        verdict, correction, mistake = self._verdict(confirmation, trace)
        taught = sql_of(correction or trace.answer or "")
        wrong = not self._is_right(taught, confirmation.sql)
        told = clues(self._core, self._assistant, confirmation.text, taught) if wrong else ()
        proposal = confirm(
            self._core, TENANT, trace.id, verdict, answer=correction, note=None, by=REVIEWER, curates=False
        )
        assert proposal is not None, "a confirmed or corrected answer teaches something"
        if not gated:
            kept = self._committed(proposal, trace)
            return Reviewed(confirmation, trace.id, taught, wrong, mistake, kept.state, "nobody", kept.detail, told)
        self._worker.drain(only=proposal.id)
        proposal = self._core.proposals.get(TENANT, proposal.id)
        by = "a curator" if proposal.state == "waiting" else "the gate"
        state = self._decided(proposal, right=not wrong).state if proposal.state == "waiting" else proposal.state
        return Reviewed(confirmation, trace.id, taught, wrong, mistake, state, by, proposal.detail, told)

    def _asked(self, question: str) -> Trace:
        ask = Ask(TENANT, self._assistant.name, parse_conversation([{"role": "user", "content": question}]))
        try:
            # Of what could not be answered there is a trace all the same, and it can be corrected.
            with suppress(PromptTooLong, ContextTooLong):
                asyncio.run(answer(self._core, prepare(self._core, ask)))
        except BackendError as exc:
            raise EngineFailed(str(exc)) from exc
        return self._core.traces.get(TENANT, ask.id)

    def _verdict(self, confirmation: Confirmation, trace: Trace) -> tuple[Verdict, str | None, str]:
        """The verdict with its correction, and the mistake in it. Who is careless calls wrong what is right, and
        right what is wrong as long as it ran.
        """
        given = sql_of(trace.answer or "")
        right = bool(given) and self._is_right(given, confirmation.sql)
        ran = trace.verification is not None and trace.verification["status"] == "passed"
        if confirmation.careless and ran and not right:
            return "success", None, "confirmed a wrong answer"
        if confirmation.careless:
            return "failure", confirmation.wrong.sql, f"corrected wrongly: {confirmation.wrong.kind}"
        return ("success", None, "") if right else ("failure", confirmation.sql, "")

    def _is_right(self, sql: str, right: str) -> bool:
        return same_result(self._assistant, sql, right).outcome == "right"

    def _decided(self, proposal: Proposal, *, right: bool) -> Proposal:
        """What a curator makes of what waits: shown both results, they let in what is right, unless careless."""
        lets_in = right != (self._random.random() < self._wrong)
        for _ in range(_DECISIONS if lets_in else 0):
            self._capture.approve(TENANT, proposal.id, CURATOR)
            self._worker.drain(only=proposal.id)
            proposal = self._core.proposals.get(TENANT, proposal.id)
            if proposal.state != "waiting":
                return proposal
        return self._capture.reject(TENANT, proposal.id, CURATOR)

    def _committed(self, proposal: Proposal, trace: Trace) -> Proposal:
        """The same items at once, with nothing compared, proved or replayed."""
        core, assistant = self._core, self._assistant
        confirmation = core.proposals.confirmation(TENANT, trace.id)
        assert confirmation is not None, "it was just given"
        head = assistant.base.snapshot()
        lesson = learn(core, assistant, trace, confirmation, head, lambda _old, _new: False)
        found = rules(core, assistant, trace, confirmation, head)
        success = replace(lesson.success, supersedes=())
        assert isinstance(success.body, Success), "a lesson's success is one"
        assert assistant.datasource is not None, "a world has its database"
        try:
            assistant.datasource.check(success.body.answer)
        except StatementRefused as exc:
            return core.proposals.keep(replace(proposal, state="failed", detail=str(exc)))
        with suppress(NothingToCommit):
            assistant.base.commit(Changes(put=(success, *found.gotchas)), author=REVIEWER, message=success.title)
        return core.proposals.keep(replace(proposal, state="landed", detail="there is no gate"))
