"""`/v1/sessions`: what a client knows of a conversation before the gateway does: somebody types, or it is over.

Both are hints to the engines' caches. They change no answer and no stored conversation, and are passed over where no
engine of the tenant has a cache, or no such session asked. So they cost nothing to give and tell nothing.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from gateway.routes.dependencies import CallerDep, GatewayDep

router = APIRouter(prefix="/v1/sessions", tags=["sessions"])


@router.post("/{session_id}/expect", status_code=202)
def expect_session(session_id: str, gateway: GatewayDep, caller: CallerDep) -> dict[str, Any]:
    """Somebody types: the conversation's KV is fetched from slower tiers meanwhile."""
    caller.require("ask", "announcing a question")
    for cache in gateway.core.caches_of(caller.tenant):
        cache.expect(caller.tenant, session_id)
    return {"object": "kvasir.session", "id": session_id, "state": "expected"}


@router.delete("/{session_id}", status_code=202)
def end_session(session_id: str, gateway: GatewayDep, caller: CallerDep) -> dict[str, Any]:
    """The conversation is over: the KV that it alone has is given back. Its requests stay, and it can go on."""
    caller.require("ask", "ending a session")
    for cache in gateway.core.caches_of(caller.tenant):
        cache.end(caller.tenant, session_id)
    return {"object": "kvasir.session", "id": session_id, "state": "ended"}
