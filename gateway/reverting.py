"""Taking back what a proposal landed: one commit on the branch, and the answers that had used it meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway.core import Core
from gateway.errors import ProposalChanged, ProposalNotLanded
from gateway.proposals import Proposal
from gateway.traces import Use
from kb.errors import Conflict, NothingToCommit
from kb.items import Item
from kb.knowledge_base import Changes, KnowledgeBase
from kb.objects import Commit


@dataclass(frozen=True, slots=True)
class Reverted:
    """`commit` is the id of the revert; `used_by` are requests since the landing, oldest first."""

    proposal: Proposal
    commit: str
    used_by: tuple[Use, ...]


def revert(
    core: Core, tenant: str, proposal_id: str, by: str, *, before_step: Callable[[str], None] | None = None
) -> Reverted:
    """Take back what a proposal landed; done again, it changes nothing and tells the same.

    What it added goes, what it retired is in use again. Of items that somebody changed since, those that it added
    retire, and the others stay as they are. Raises `ProposalNotFound`, `ProposalNotLanded`, `AssistantNotFound`.
    """
    tell = before_step or (lambda _step: None)
    proposal = core.proposals.get(tenant, proposal_id)
    if proposal.state not in ("landed", "reverted"):
        raise ProposalNotLanded(proposal_id, proposal.state)
    assert proposal.commit is not None, "what landed has a commit"
    assistant = core.assistant(tenant, proposal.assistant)
    base, branch = assistant.base, assistant.settings.branch
    landed = base.commit_at(proposal.commit)
    tell("revert")
    commit = _revert_of(base, branch, landed) or _commit(base, branch, landed, proposal, by)
    tell("record")
    if proposal.state == "landed":
        proposal = _recorded(core, proposal, commit, by)
    assert landed.parent is not None, "a lesson is never a base's first commit"
    taught = {change.id for change in base.diff(landed.parent, landed.id).changes if _taught(change.new)}
    used = core.traces.that_used(tenant, proposal.kb, taught, since=landed.created_at)
    return Reverted(proposal, commit.id, tuple(used))


def _recorded(core: Core, proposal: Proposal, commit: Commit, by: str) -> Proposal:
    detail = f"reverted by {by}"
    stepped = proposal.with_step("revert", "ok", f"{commit.short_id} by {by}")
    try:
        return core.proposals.keep(replace(stepped, state="reverted", detail=detail))
    except ProposalChanged:
        # Somebody reverted it at the same time: both found the same commit.
        stored = core.proposals.get(proposal.tenant, proposal.id)
        if stored.state != "reverted":
            raise
        return stored


def _commit(base: KnowledgeBase, branch: str, landed: Commit, proposal: Proposal, by: str) -> Commit:
    head = base.head(branch)
    try:
        return base.commit(
            _inverse(base, landed, head),
            author=by,
            message=f"Revert {landed.short_id}: {landed.message}",
            branch=branch,
            evidence={"reverts": landed.id, "request": proposal.request_id},
            onto=head.id,
        )
    except (Conflict, NothingToCommit):
        made_by_another = _revert_of(base, branch, landed)
        if made_by_another is None:
            raise
        return made_by_another


def _inverse(base: KnowledgeBase, landed: Commit, head: Commit) -> Changes:
    assert landed.parent is not None, "a lesson is never a base's first commit"
    changes = base.diff(landed.parent, landed.id).changes
    now = base.hashes_of([change.id for change in changes], head)
    then = base.hashes_of([change.id for change in changes], landed)
    put: list[Item] = []
    remove: list[str] = []
    for change in changes:
        if change.id in now and now[change.id] != then.get(change.id):
            if change.old is None:
                put.append(base.item(change.id, head.id).with_status("retired"))
        elif change.old is not None:
            put.append(change.old)
        else:
            remove.append(change.id)
    return Changes(tuple(put), tuple(remove))


def _revert_of(base: KnowledgeBase, branch: str, landed: Commit) -> Commit | None:
    """The commit on the branch that took this one back, if one did."""
    commit = base.head(branch)
    while commit.id != landed.id and commit.parent is not None:
        if commit.evidence.get("reverts") == landed.id:
            return commit
        commit = base.commit_at(commit.parent)
    return None


def _taught(item: Item | None) -> bool:
    return item is not None and item.status != "retired"
