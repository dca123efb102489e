"""`/v1/requests`: the traces of requests, and a person's verdict on an answer."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from gateway import wire
from gateway.confirming import confirm
from gateway.proposal_view import confirmation_view
from gateway.routes.dependencies import CallerDep, GatewayDep

router = APIRouter(prefix="/v1/requests", tags=["requests"])


@router.get("")
def list_requests(
    gateway: GatewayDep,
    caller: CallerDep,
    assistant: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> dict[str, Any]:
    """Of all users of the tenant, newest first, without their prompts: those are in the trace of each."""
    caller.require("curate", "listing what others asked")
    found = gateway.core.traces.summaries(caller.tenant, assistant, limit)
    return {"object": "list", "data": [wire.summary(request) for request in found]}


@router.get("/{request_id}")
def get_request(request_id: str, gateway: GatewayDep, caller: CallerDep) -> dict[str, Any]:
    caller.require("ask", "reading a request")
    return wire.full_trace(gateway.core.traces.get(caller.tenant, request_id))


@router.post("/{request_id}/confirm", status_code=202)
def confirm_request(
    request_id: str, body: wire.ConfirmRequest, gateway: GatewayDep, caller: CallerDep
) -> dict[str, Any]:
    """Say whether the answer was right. What is learned from it waits in the proposal for its replay."""
    caller.require("confirm", "confirming an answer")
    proposal = confirm(
        gateway.core,
        caller.tenant,
        request_id,
        body.verdict,
        answer=body.answer,
        note=body.note,
        by=caller.name,
        curates=caller.may("curate"),
    )
    gateway.metrics.confirmed(caller.tenant, body.verdict)
    gateway.worker.wake()
    return confirmation_view(request_id, body.verdict, proposal)
