"""From a confirmation to a commit on the proposal's branch: generality, compare, prove, commit, on top of one head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway.contradiction import contradictions
from gateway.core import Assistant, Core
from gateway.counted import counted
from gateway.gotchas import Candidates
from gateway.lesson import Lesson, learn, rules
from gateway.proof import Proof, prove
from gateway.proposals import Confirmation, Proposal
from gateway.replay import Judged, Replay
from gateway.traces import Trace
from kb.errors import NothingToCommit
from kb.items import Item, Success
from kb.knowledge_base import Changes, Snapshot

BeforeStep = Callable[[str], None]
MAX_ATTEMPTS = 5
"""So often a proposal is tried while something outside is away."""


class Unavailable(Exception):
    """Something outside that a step needs is away; the step is tried again later."""


@dataclass(frozen=True, slots=True)
class Taught:
    """A proposal that is to be taught, with what it is about."""

    assistant: Assistant
    trace: Trace
    confirmation: Confirmation


class Teaching:
    """The steps before the replay. Each can be repeated: the work branch is moved to what it should be."""

    def __init__(self, core: Core, replay: Replay, before_step: BeforeStep) -> None:
        self._core, self._replay, self._before_step = core, replay, before_step

    def lesson(self, proposal: Proposal, taught: Taught, head: Snapshot) -> tuple[Proposal, Lesson]:
        """The lesson at `head`, its gotchas proved. What says the same already is told by the lesson, with no step."""
        self._before_step("generality")
        found = rules(self._core, taught.assistant, taught.trace, taught.confirmation, head)
        proposal = proposal.with_step("generality", "ok", _general(found))
        self._before_step("compare")
        lesson = self._compared(taught, head)
        if lesson.duplicate_of:
            return proposal, lesson
        proposal = proposal.with_step("compare", "ok", _compared(lesson), conflicts=self._shown(taught, lesson, head))
        if not found.gotchas:
            return proposal, lesson
        self._before_step("prove")
        proof = self._proof(proposal, taught, lesson, found.gotchas, head)
        if proof.away and proposal.attempts < MAX_ATTEMPTS:
            raise Unavailable(proof.detail)
        detail = f"{proof.detail}; {counted(proof.engine_calls, 'engine call')}"
        proposal = proposal.with_step("prove", "ok" if proof.proved else "skipped", detail)
        return proposal, replace(lesson, gotchas=proof.proved)

    def commit(self, proposal: Proposal, taught: Taught, lesson: Lesson, head: Snapshot) -> tuple[Proposal, str]:
        """The proposal's commit on top of the head, on its own branch; its id beside the proposal."""
        self._before_step("commit")
        base = taught.assistant.base
        base.reset_branch(proposal.branch, head.commit.id)
        commit = base.commit(
            lesson.changes,
            author=taught.confirmation.confirmed_by,
            message=f"Learn: {lesson.success.title}",
            branch=proposal.branch,
            evidence={"request": proposal.request_id, "proposal": proposal.id, "assistant": taught.assistant.name},
        )
        proposal = replace(proposal, commit=commit.id)
        return proposal.with_step("commit", "ok", f"{commit.short_id} on {proposal.branch}"), commit.id

    def _compared(self, taught: Taught, head: Snapshot) -> Lesson:
        def same_result(old: str, new: str) -> bool:
            judged = self._replay.same_result(taught.assistant, new, old)
            if judged.outcome == "away":
                raise Unavailable(judged.detail)
            return judged.outcome == "right"

        lesson = learn(self._core, taught.assistant, taught.trace, taught.confirmation, head, same_result)
        known = head.items.get(lesson.success.id)
        if known is not None and known.status == "active":
            return replace(lesson, duplicate_of=lesson.success.id)
        return lesson

    def _shown(self, taught: Taught, lesson: Lesson, head: Snapshot) -> list[dict[str, object]]:
        assert isinstance(lesson.success.body, Success), "a lesson's success is one"
        tables = self._core.retriever.tables(taught.assistant.base, revision=head.commit.id)
        return contradictions(lesson.conflicts, lesson.success.body.answer, taught.assistant.datasource, tables)

    def _proof(
        self, proposal: Proposal, taught: Taught, lesson: Lesson, gotchas: tuple[Item, ...], head: Snapshot
    ) -> Proof:
        """Each trial is a commit on the work branch that has the gotchas in use and not the corrected success."""
        assistant = taught.assistant
        if assistant.engine is None or assistant.datasource is None:
            lacks = "engine" if assistant.engine is None else "datasource"
            return Proof((), f"not proved: the assistant has no {lacks} to try it with")
        assert isinstance(lesson.success.body, Success), "a lesson's success is one"
        accepted = lesson.success.body.answer

        def try_with(active: tuple[Item, ...]) -> Judged:
            in_use = tuple(item.with_status("active") for item in active)
            at = self._trial_commit(proposal, taught, Changes(put=(*in_use, *lesson.retired)), head)
            return self._replay.try_at(self._core, assistant, taught.trace, accepted, at)

        return prove(gotchas, try_with)

    def _trial_commit(self, proposal: Proposal, taught: Taught, changes: Changes, head: Snapshot) -> str:
        base = taught.assistant.base
        base.reset_branch(proposal.branch, head.commit.id)
        try:
            commit = base.commit(
                changes,
                author=taught.confirmation.confirmed_by,
                message=f"Try: {proposal.id}",
                branch=proposal.branch,
                evidence={"trial": proposal.id},
            )
        except NothingToCommit:
            return head.commit.id
        return commit.id


def _general(found: Candidates) -> str:
    if not found.gotchas and not found.left_out:
        return "there is no rule in it"
    parts = [f"{item.title}" for item in found.gotchas]
    parts += [f"left out: {why}" for why in found.left_out]
    return "; ".join(parts)


def _compared(lesson: Lesson) -> str:
    parts = [f"new {lesson.success.id}"]
    if lesson.conflicts:
        parts.append("supersedes " + ", ".join(item.id for item in lesson.conflicts))
    if lesson.merged:
        parts.append("stands for " + ", ".join(item.id for item in lesson.merged) + ", which say nearly the same")
    return "; ".join(parts)
