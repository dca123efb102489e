"""`GET /v1/kb/{base}/…`: items and commits of a knowledge base, and what lies between them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query

from gateway.blame_view import blame_views
from gateway.diff_view import commit_view, diff_view
from gateway.quarantine_view import quarantined_view
from gateway.routes.dependencies import CallerDep, GatewayDep
from gateway.verify_view import verify_view
from kb.blame import blame
from kb.codec import item_to_dict
from kb.items import Kind, Status
from kb.knowledge_base import MAIN
from kb.statuses import items_of
from kb.verify import verify

router = APIRouter(prefix="/v1/kb", tags=["knowledge"])

Revision = Annotated[str, Query(min_length=1, description="A branch, tag or commit, followed by any ~N or ^.")]
Limit = Annotated[int, Query(ge=1, le=1000)]


@router.get("/{base}/commits")
def list_commits(
    base: str, gateway: GatewayDep, caller: CallerDep, at: Revision = MAIN, item: str | None = None, limit: Limit = 20
) -> dict[str, Any]:
    """Newest first; with `item`, those that changed it."""
    caller.require("ask", "reading the log")
    commits = gateway.core.base(caller.tenant, base).log(at, item=item, limit=limit)
    return {"object": "list", "data": [{"object": "kvasir.commit", **asdict(commit)} for commit in commits]}


@router.get("/{base}/commits/{revision:path}")
def get_commit(base: str, revision: str, gateway: GatewayDep, caller: CallerDep) -> dict[str, Any]:
    """A commit, and what it changed on its first parent."""
    caller.require("ask", "reading a commit")
    found = gateway.core.base(caller.tenant, base)
    return {"object": "kvasir.commit", **commit_view(found, found.resolve(revision))}


@router.get("/{base}/diff")
def get_diff(base: str, old: Revision, gateway: GatewayDep, caller: CallerDep, new: Revision = MAIN) -> dict[str, Any]:
    """Item by item, field by field."""
    caller.require("ask", "reading a diff")
    diff = gateway.core.base(caller.tenant, base).diff(old, new)
    return {"object": "kvasir.diff", "old": diff.old, "new": diff.new, "changes": diff_view(diff)}


@router.get("/{base}/items")
def list_items(
    base: str,
    gateway: GatewayDep,
    caller: CallerDep,
    at: Revision = MAIN,
    kind: Kind | None = None,
    status: Status | None = None,
    after: str = "",
    limit: Limit = 100,
) -> dict[str, Any]:
    """By id, from the first one behind `after`."""
    caller.require("ask", "listing items")
    found = gateway.core.base(caller.tenant, base)
    items = items_of(found, at, kind=kind, status=status, after=after, limit=limit)
    data = [{"id": item.id, "kind": item.kind, "status": item.status, "title": item.title} for item in items]
    return {"object": "list", "data": data}


@router.get("/{base}/items/{item_id}")
def get_item(base: str, item_id: str, gateway: GatewayDep, caller: CallerDep, at: Revision = MAIN) -> dict[str, Any]:
    """A whole item, as a commit takes it."""
    caller.require("ask", "reading an item")
    return item_to_dict(gateway.core.base(caller.tenant, base).item(item_id, at))


@router.get("/{base}/items/{item_id}/blame")
def get_blame(
    base: str, item_id: str, gateway: GatewayDep, caller: CallerDep, field: str | None = None, at: Revision = MAIN
) -> dict[str, Any]:
    """For each field, or one with those below it: the commit that made it so, its author, request and replay."""
    caller.require("ask", "reading where an item comes from")
    found = blame(gateway.core.base(caller.tenant, base), item_id, field, revision=at)
    return {"object": "list", "data": blame_views(found, gateway.core.proposals, caller.tenant)}


@router.get("/{base}/quarantine")
def list_quarantine(base: str, gateway: GatewayDep, caller: CallerDep, at: Revision = MAIN) -> dict[str, Any]:
    """The items in quarantine, and what each lost."""
    caller.require("ask", "reading the quarantine")
    items = items_of(gateway.core.base(caller.tenant, base), at, status="quarantined")
    return {"object": "list", "data": [quarantined_view(item) for item in items]}


@router.get("/{base}/verify")
def verify_base(base: str, gateway: GatewayDep, caller: CallerDep) -> dict[str, Any]:
    """Derive every hash again. It reads all that the base holds, so it is not for whoever may ask."""
    caller.require("curate", "verifying a knowledge base")
    return {"object": "kvasir.verification", **verify_view(verify(gateway.core.base(caller.tenant, base)))}
