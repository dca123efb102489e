"""`/v1/proposals`: what confirmations became, and a curator's decision."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from gateway.proposal_view import proposal_view, reverted_view
from gateway.proposals import State
from gateway.reverting import revert
from gateway.routes.dependencies import CallerDep, GatewayDep

router = APIRouter(prefix="/v1/proposals", tags=["proposals"])


@router.get("")
def list_proposals(
    gateway: GatewayDep,
    caller: CallerDep,
    state: State | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """Newest first."""
    caller.require("ask", "reading proposals")
    found = gateway.core.proposals.list(caller.tenant, state=state, limit=limit)
    return {"object": "list", "data": [proposal_view(proposal) for proposal in found]}


@router.get("/{proposal_id}")
def get_proposal(proposal_id: str, gateway: GatewayDep, caller: CallerDep) -> dict[str, Any]:
    caller.require("ask", "reading proposals")
    return proposal_view(gateway.core.proposals.get(caller.tenant, proposal_id))


@router.post("/{proposal_id}/approve")
def approve_proposal(proposal_id: str, gateway: GatewayDep, caller: CallerDep) -> dict[str, Any]:
    caller.require("curate", "approving a proposal")
    approved = gateway.capture.approve(caller.tenant, proposal_id, caller.name)
    gateway.worker.wake()
    return proposal_view(approved)


@router.post("/{proposal_id}/reject")
def reject_proposal(proposal_id: str, gateway: GatewayDep, caller: CallerDep) -> dict[str, Any]:
    caller.require("curate", "rejecting a proposal")
    return proposal_view(gateway.capture.reject(caller.tenant, proposal_id, caller.name))


@router.post("/{proposal_id}/revert")
def revert_proposal(proposal_id: str, gateway: GatewayDep, caller: CallerDep) -> dict[str, Any]:
    """Take back what it landed, and tell which answers had used it."""
    caller.require("curate", "reverting a proposal")
    return reverted_view(revert(gateway.core, caller.tenant, proposal_id, caller.name))
