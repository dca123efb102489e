"""Blame as it is shown over HTTP and by `--json`: each field with its commit, request, person and replay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.errors import ProposalNotFound
from gateway.proposals import Proposals
from kb.blame import Blame


def blame_views(found: Sequence[Blame], proposals: Proposals, tenant: str) -> list[dict[str, Any]]:
    """`replay` says what let a commit in; `null` where no proposal did, or it is not in this database."""
    replays = {name: _replay(proposals, tenant, name) for name in {each.proposal for each in found} - {""}}
    return [_view(each, replays.get(each.proposal)) for each in found]


def _replay(proposals: Proposals, tenant: str, proposal_id: str) -> dict[str, Any] | None:
    """What the proposal's replay said, and who or what let it land."""
    try:
        proposal = proposals.get(tenant, proposal_id)
    except ProposalNotFound:
        # Commits outlive proposals where a base was moved to another state database.
        return None
    report = proposal.report or {}
    told = {key: report.get(key) for key in ("verdict", "base", "head")}
    return {**told, "state": proposal.state, "detail": proposal.detail}


def _view(blame: Blame, replay: dict[str, Any] | None) -> dict[str, Any]:
    commit = blame.commit
    return {
        "field": blame.field,
        "value": blame.value,
        "commit": commit.id,
        "author": commit.author,
        "created_at": commit.created_at,
        "message": commit.message,
        "request": blame.request or None,
        "confirmed_by": blame.confirmed_by or None,
        "confirmed_at": blame.confirmed_at or None,
        "proposal": blame.proposal or None,
        "replay": replay,
        "source": blame.source or None,
    }
