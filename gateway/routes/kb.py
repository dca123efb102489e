"""`/v1/kb/{base}`: what changes a knowledge base. Each call makes one commit, or none."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import SQLAlchemyError

from gateway.cost_view import costs_view
from gateway.editing import commit_items
from gateway.errors import GatewayError
from gateway.prefix_cost import landing_costs
from gateway.quarantine_view import report_of, report_view
from gateway.routes.dependencies import CallerDep, Gateway, GatewayDep
from gateway.wire import StorableText
from kb.cherry_pick import cherry_pick
from kb.codec import item_from_dict
from kb.errors import KnowledgeError
from kb.item_merge import Resolution, Side
from kb.knowledge_base import MAIN, KnowledgeBase
from kb.merge import merge
from kb.objects import Commit
from kb.quarantine import quarantine_report
from kb.statuses import activate, retire

logger = logging.getLogger("kvasir.gateway")

router = APIRouter(prefix="/v1/kb", tags=["knowledge"])


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Resolved(_Body):
    """`resolutions` maps the `key` of a conflict, or an item's id, to a side or to a whole item."""

    resolutions: dict[StorableText, Side | Literal["both"] | dict[str, Any]] = Field(default_factory=dict)
    onto: StorableText | None = Field(None, min_length=1)

    def to_resolutions(self) -> dict[str, Resolution]:
        """Raises `InvalidItem`."""
        return {key: item_from_dict(how) if isinstance(how, dict) else how for key, how in self.resolutions.items()}


class MergeRequest(_Resolved):
    branch: StorableText = Field(min_length=1)
    into: StorableText = Field(MAIN, min_length=1)
    message: StorableText | None = Field(None, min_length=1, max_length=2000)
    no_ff: bool = False


class CherryPickRequest(_Resolved):
    commit: StorableText = Field(min_length=1)
    branch: StorableText = Field(MAIN, min_length=1)


class RevertRequest(_Body):
    commit: StorableText = Field(min_length=1)
    branch: StorableText = Field(MAIN, min_length=1)


class CommitRequest(_Body):
    """`put` holds whole items, as they are read; `remove` holds ids."""

    message: StorableText = Field(min_length=1, max_length=2000)
    put: list[dict[str, Any]] = Field(default_factory=list)
    remove: list[StorableText] = Field(default_factory=list)
    branch: StorableText = Field(MAIN, min_length=1)
    onto: StorableText | None = Field(None, min_length=1)


class StatusRequest(_Body):
    """`items` holds ids."""

    items: list[StorableText] = Field(min_length=1, max_length=1000)
    branch: StorableText = Field(MAIN, min_length=1)
    message: StorableText | None = Field(None, min_length=1, max_length=2000)
    onto: StorableText | None = Field(None, min_length=1)


# The role of each is the one that lands proposals: whoever may only confirm must not bring something in past its replay
# and its curator.


@router.post("/{base}/commits", status_code=201)
def make_commit(base: str, body: CommitRequest, gateway: GatewayDep, caller: CallerDep) -> dict[str, Any]:
    """Put and remove items. With `onto`, an item that changed since that commit is a 409."""
    caller.require("curate", "committing items")
    found = gateway.core.base(caller.tenant, base)
    put = [item_from_dict(item) for item in body.put]
    edit = commit_items(
        found, put, body.remove, author=caller.name, message=body.message, branch=body.branch, onto=body.onto
    )
    return {**_committed(gateway, found, edit.commit, body.branch), "warnings": list(edit.warnings)}


@router.post("/{base}/activate", status_code=201)
def activate_items(base: str, body: StatusRequest, gateway: GatewayDep, caller: CallerDep) -> dict[str, Any]:
    """Take items into use that are proposed, retired, or in quarantine and right again."""
    caller.require("curate", "activating items")
    return _decided(activate, gateway, gateway.core.base(caller.tenant, base), body, caller.name)


@router.post("/{base}/retire", status_code=201)
def retire_items(base: str, body: StatusRequest, gateway: GatewayDep, caller: CallerDep) -> dict[str, Any]:
    """Take items out of use; they stay in the base."""
    caller.require("curate", "retiring items")
    return _decided(retire, gateway, gateway.core.base(caller.tenant, base), body, caller.name)


@router.post("/{base}/revert", status_code=201)
def revert_commit(base: str, body: RevertRequest, gateway: GatewayDep, caller: CallerDep) -> dict[str, Any]:
    """Commit the inverse of a commit."""
    caller.require("curate", "reverting a commit")
    found = gateway.core.base(caller.tenant, base)
    return _committed(gateway, found, found.revert(body.commit, author=caller.name, branch=body.branch), body.branch)


@router.post("/{base}/cherry-pick", status_code=201)
def pick_commit(base: str, body: CherryPickRequest, gateway: GatewayDep, caller: CallerDep) -> dict[str, Any]:
    """Commit on a branch what a commit changed; conflicts are as in a merge."""
    caller.require("curate", "picking a commit")
    found = gateway.core.base(caller.tenant, base)
    commit = cherry_pick(
        found,
        body.commit,
        branch=body.branch,
        author=caller.name,
        resolutions=body.to_resolutions(),
        onto=body.onto,
    )
    return _committed(gateway, found, commit, body.branch)


@router.post("/{base}/merge")
def merge_branch(base: str, body: MergeRequest, gateway: GatewayDep, caller: CallerDep) -> dict[str, Any]:
    """Merge field by field; a 409 lists the conflicts, and a second call brings a resolution for each."""
    caller.require("curate", "merging a branch")
    found = gateway.core.base(caller.tenant, base)
    merged = merge(
        found,
        body.branch,
        into=body.into,
        author=caller.name,
        message=body.message,
        no_ff=body.no_ff,
        resolutions=body.to_resolutions(),
        onto=body.onto,
    )
    report = quarantine_report(found.diff(merged.before, merged.commit.id))
    prefix = _prefix(gateway, found, body.into, merged.before, merged.commit.id)
    return {"object": "kvasir.merge", **asdict(merged), **report_view(report), "prefix": prefix}


def _decided(
    decide: Callable[..., Commit], gateway: Gateway, base: KnowledgeBase, body: StatusRequest, author: str
) -> dict[str, Any]:
    commit = decide(base, body.items, author=author, branch=body.branch, message=body.message, onto=body.onto)
    return _committed(gateway, base, commit, body.branch)


def _committed(gateway: Gateway, base: KnowledgeBase, commit: Commit, branch: str) -> dict[str, Any]:
    assert commit.parent is not None, "what is committed over HTTP stands on a head"
    prefix = _prefix(gateway, base, branch, commit.parent, commit.id)
    return {"object": "kvasir.commit", **asdict(commit), **report_view(report_of(base, commit)), "prefix": prefix}


def _prefix(gateway: Gateway, base: KnowledgeBase, branch: str, before: str, after: str) -> list[dict[str, Any]]:
    """What the move cost the caches. It has landed: what goes wrong here is told in the log alone."""
    try:
        return costs_view(landing_costs(gateway.core, base.id, branch, before, after))
    except (GatewayError, KnowledgeError, SQLAlchemyError) as exc:
        logger.warning("what %s costs the cache cannot be told: %s", after[:12], exc)
        return []
