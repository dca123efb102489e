"""Capture: what becomes of a proposal, step by step: check, generality, compare, prove, commit, replay, land.

Every step can be repeated: ids and commits are hashes of their content, branches are moved to what they should be.
So a process that dies anywhere leaves a queued proposal, and whoever takes it up next arrives at the same end.
Nothing lands that was not replayed against the very head it lands on.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.core import Assistant, Core
from gateway.counted import counted
from gateway.errors import (
    AssistantNotFound,
    GatewayError,
    ProposalChanged,
    ProposalClosed,
    ProposalNotReady,
    SecondPersonNeeded,
)
from gateway.lesson import Lesson
from gateway.proposals import CLOSED, Proposal
from gateway.replay import CaseVerdict, Replay, ReplayReport
from gateway.teaching import MAX_ATTEMPTS, BeforeStep, Taught, Teaching, Unavailable
from gateway.verification import Verification, sql_of, verify
from kb.errors import BaseNotFound, KnowledgeError, RefMoved

LANDING_TRIES = 10
CLAIM_SECONDS = 15.0
_MOVED = "the branch moved since the replay: it is replayed again on the new head, and waits for a new approval"


class Capture:
    def __init__(self, core: Core, replay: Replay, *, before_step: BeforeStep | None = None) -> None:
        """`before_step` is told the name of each step before it runs."""
        self.core, self._replay = core, replay
        self._before_step = before_step or _nothing
        self._teaching = Teaching(core, replay, self._before_step)

    def run(self, proposal: Proposal) -> Proposal:
        """Take a leased proposal through all steps and store where it ends."""
        try:
            if proposal.state == "landing":
                return self._land_approved(proposal)
            return self._closed(self._through_steps(replace(proposal, steps=(), report=None)))
        except Unavailable as exc:
            return self.try_later(proposal, str(exc))
        except (AssistantNotFound, BaseNotFound) as exc:
            return self._closed(self._ended(proposal, "failed", str(exc)))
        except ProposalChanged:
            raise
        except (GatewayError, KnowledgeError) as exc:
            # The suite is broken, say: a person mends it and approves, which replays the proposal again.
            return self.core.proposals.keep(self._ended(proposal, "waiting", str(exc)))

    def try_later(self, proposal: Proposal, why: str) -> Proposal:
        """Back off, and after `MAX_ATTEMPTS` leave the decision to a curator."""
        if proposal.attempts >= MAX_ATTEMPTS:
            detail = f"{why}; tried {proposal.attempts} times, a curator decides"
            return self.core.proposals.keep(self._ended(proposal, "waiting", detail))
        waiting = replace(proposal, detail=f"{why}; it will be tried again")
        return self.core.proposals.keep(waiting, retry_in_seconds=2.0**proposal.attempts)

    def approve(self, tenant: str, proposal_id: str, by: str) -> Proposal:
        """Land a waiting proposal. If the branch moved since its replay, it is replayed again and waits anew.

        Raises `SecondPersonNeeded` where the assistant wants another person than the one who confirmed.
        """
        proposal = self._open(tenant, proposal_id, "approved")
        if proposal.state == "landed":
            return proposal
        assistant = self.core.assistant(tenant, proposal.assistant)
        confirmation = self.core.proposals.confirmation(tenant, proposal.request_id)
        if assistant.settings.approval == "second" and confirmation is not None and confirmation.confirmed_by == by:
            raise SecondPersonNeeded(proposal_id, by)
        head = assistant.base.resolve(assistant.settings.branch)
        if proposal.commit is None or proposal.report is None:
            detail = f"it was not replayed yet ({proposal.detail}); asked for by {by}, it is replayed now"
            return self.core.proposals.keep(self._ended(proposal, "queued", detail))
        if proposal.report["base"] != head.id:
            return self.core.proposals.keep(self._ended(proposal, "queued", _MOVED))
        # Claimed before the branch moves, so that a rejection at the same time cannot follow a landing.
        claimed = self._ended(proposal, "landing", f"approved by {by}")
        claim_seconds = CLAIM_SECONDS + sum(cache.warm_seconds for cache in self.core.caches.values())
        return self._land_approved(self.core.proposals.keep(claimed, retry_in_seconds=claim_seconds))

    def _land_approved(self, proposal: Proposal) -> Proposal:
        """Move the branch to an approved commit; where it has moved away since, the commit is replayed again."""
        assistant = self.core.assistant(proposal.tenant, proposal.assistant)
        base, branch = assistant.base, assistant.settings.branch
        assert proposal.commit is not None, "what was approved has a commit"
        assert proposal.report is not None, "what was approved was replayed"
        try:
            if not base.is_ancestor(proposal.commit, branch):
                base.fast_forward(branch, proposal.commit, expected=proposal.report["base"])
        except RefMoved:
            return self.core.proposals.keep(self._ended(proposal, "queued", _MOVED))
        return self._closed(self._ended(proposal.with_step("land", "ok", proposal.detail), "landed", proposal.detail))

    def reject(self, tenant: str, proposal_id: str, by: str) -> Proposal:
        """Close a proposal without landing it."""
        proposal = self._open(tenant, proposal_id, "rejected")
        if proposal.state == "rejected":
            return proposal
        return self._closed(self._ended(proposal, "rejected", f"rejected by {by}"))

    def _closed(self, proposal: Proposal) -> Proposal:
        """Store it; one that is closed needs its work branch no more, and its commit stays readable by its id."""
        kept = self.core.proposals.keep(proposal)
        if kept.state in CLOSED:
            base = self.core.base(kept.tenant, kept.kb)
            if kept.branch in base.branches():
                base.delete_branch(kept.branch)
        return kept

    def _open(self, tenant: str, proposal_id: str, wanted: str) -> Proposal:
        proposal = self.core.proposals.get(tenant, proposal_id)
        if proposal.state in ("queued", "landing"):
            raise ProposalNotReady(proposal_id, proposal.state)
        same = {"approved": "landed", "rejected": "rejected"}[wanted]
        if proposal.state in CLOSED and proposal.state != same:
            raise ProposalClosed(proposal_id, proposal.state, wanted)
        return proposal

    def _through_steps(self, proposal: Proposal) -> Proposal:
        assistant = self.core.assistant(proposal.tenant, proposal.assistant)
        confirmation = self.core.proposals.confirmation(proposal.tenant, proposal.request_id)
        assert confirmation is not None, "a proposal is written together with its confirmation"
        taught = Taught(assistant, self.core.traces.get(proposal.tenant, proposal.request_id), confirmation)
        checked = self._check(proposal, taught)
        if checked.state != "queued":
            return checked
        for _ in range(LANDING_TRIES):
            try:
                return self._propose(checked, taught)
            except RefMoved:
                continue  # the branch moved under the replay: it is made again on the new head
        raise Unavailable(f"the branch '{assistant.settings.branch}' moved during {LANDING_TRIES} replays")

    def _check(self, proposal: Proposal, taught: Taught) -> Proposal:
        self._before_step("check")
        assistant = taught.assistant
        answer = sql_of(taught.confirmation.answer or taught.trace.answer or "")
        if assistant.datasource is None:
            return proposal.with_step("check", "skipped", "the assistant has no datasource")
        tables = self.core.retriever.tables(assistant.base, revision=assistant.settings.branch)
        verification = verify(assistant.datasource, answer, tables)
        if verification.status == "unavailable":
            raise Unavailable(verification.message)
        if not verification.passed:
            stepped = proposal.with_step("check", "stopped", verification.message)
            return self._ended(stepped, "failed", f"the confirmed answer does not run: {verification.message}")
        return proposal.with_step("check", "ok", _shown(verification))

    def _propose(self, proposal: Proposal, taught: Taught) -> Proposal:
        base, branch = taught.assistant.base, taught.assistant.settings.branch
        head = base.snapshot(branch)
        proposal, lesson = self._teaching.lesson(proposal, taught, head)
        if lesson.duplicate_of:
            return self._already_there(proposal, taught.assistant, lesson.duplicate_of)
        proposal, commit = self._teaching.commit(proposal, taught, lesson, head)
        self._before_step("replay")
        report = self._replay(self.core, taught.assistant, head.commit.id, commit)
        proposal = replace(proposal, report=report.to_dict()).with_step("replay", "ok", _verdict(report))
        why = self._why_wait(taught.assistant, lesson, report)
        if why:
            return self._ended(proposal, "waiting", why)
        self._before_step("land")
        base.fast_forward(branch, commit, expected=head.commit.id)
        self._before_step("record")
        return self._ended(proposal.with_step("land", "ok", "automatic"), "landed", "its replay is clean")

    def _already_there(self, proposal: Proposal, assistant: Assistant, item: str) -> Proposal:
        """The base knows it: because this proposal landed before a crash, or because someone else taught it."""
        newest = assistant.base.log(assistant.settings.branch, item=item, limit=1)
        if newest and newest[0].evidence.get("proposal") == proposal.id:
            proposal = replace(proposal, commit=newest[0].id).with_step("land", "ok", "landed before")
            return self._ended(proposal, "landed", "its replay is clean")
        stepped = proposal.with_step("compare", "stopped", f"{item} says the same")
        return self._ended(stepped, "duplicate", f"{item} says the same already")

    def _why_wait(self, assistant: Assistant, lesson: Lesson, report: ReplayReport) -> str | None:
        if report.verdict == "regression":
            suspects = [case.id for case in report.suspects]
            return f"the replay shows a regression in {', '.join(suspects[:5])}; a curator decides"
        if report.verdict == "undecided":
            return f"the replay could not judge {_unjudged(report)}; a curator decides"
        if lesson.doubt:
            return f"{lesson.doubt}; a curator decides"
        who = {"automatic": None, "curator": "a curator", "second": "a second person"}[assistant.settings.approval]
        return f"its replay is clean; {who} approves" if who else None

    def _ended(self, proposal: Proposal, state: str, detail: str) -> Proposal:
        return replace(proposal, state=state, detail=detail)  # type: ignore[arg-type]


def _nothing(_step: str) -> None:
    pass


def _shown(verification: Verification) -> str:
    assert verification.row_count is not None, "what passed has rows, or none"
    return f"runs, {counted(verification.row_count, 'row')}"


def _unjudged(report: ReplayReport) -> str:
    """The first case that was not, and why: most often one reason holds for all, such as an engine that is away."""
    if not (cases := report.of_verdict("undecided")):
        return "a case"
    others = f" and {counted(len(cases) - 1, 'other')}" if len(cases) > 1 else ""
    return f"{cases[0].id}{others}{f' ({cases[0].detail})' if cases[0].detail else ''}"


def _verdict(report: ReplayReport) -> str:
    verdicts: tuple[CaseVerdict, ...] = ("better", "same", "worse", "flaky", "undecided")
    counts = {verdict: len(report.of_verdict(verdict)) for verdict in verdicts}
    listed = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    return f"{report.verdict}: {listed or 'no cases'}; {counted(report.engine_calls, 'engine call')}"
