"""A proposal as it is shown over HTTP and by `--json`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from gateway.proposals import Proposal, Verdict
from gateway.reverting import Reverted


def proposal_view(proposal: Proposal) -> dict[str, Any]:
    """`conflicts` are the confirmed answers that it contradicts, each with what both give."""
    fields = asdict(proposal)
    del fields["tenant"]
    fields["knowledge_base"] = fields.pop("kb")
    for step in fields["steps"]:
        del step["data"]
    conflicts = proposal.found("conflicts") or []
    return {"object": "kvasir.proposal", **fields, "branch": proposal.branch, "conflicts": conflicts}


def reverted_view(reverted: Reverted) -> dict[str, Any]:
    """What a revert answers: the proposal, the commit that took it back, and the answers that had used it."""
    uses = [asdict(use) for use in reverted.used_by]
    return {**proposal_view(reverted.proposal), "reverted_by": reverted.commit, "used_by": uses}


def confirmation_view(request_id: str, verdict: Verdict, proposal: Proposal | None) -> dict[str, Any]:
    """What `confirm` answers: the proposal, or that the verdict was logged and teaches nothing."""
    if proposal is not None:
        return {**proposal_view(proposal), "verdict": verdict}
    return {
        "object": "kvasir.confirmation",
        "id": None,
        "request_id": request_id,
        "verdict": verdict,
        "state": "logged",
        "detail": "logged; nothing is learned from a failure without the right answer (send it as 'answer')",
    }
