"""A proposal as it is shown over HTTP and by `--json`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from gateway.proposals import Proposal, Verdict


def proposal_view(proposal: Proposal) -> dict[str, Any]:
    fields = asdict(proposal)
    del fields["tenant"]
    fields["knowledge_base"] = fields.pop("kb")
    return {"object": "kvasir.proposal", **fields, "branch": proposal.branch}


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
