"""`/v1/kb` and the branches and tags of each base."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from gateway.errors import BadRequest
from gateway.routes.dependencies import CallerDep, GatewayDep
from gateway.wire import StorableText
from kb.knowledge_base import MAIN

router = APIRouter(prefix="/v1/kb", tags=["knowledge"])


class RefRequest(BaseModel):
    """`at` is any revision."""

    model_config = ConfigDict(extra="forbid")

    name: StorableText = Field(min_length=1)
    at: StorableText = Field(MAIN, min_length=1)


@router.get("")
def list_bases(gateway: GatewayDep, caller: CallerDep) -> dict[str, Any]:
    """The tenant's knowledge bases."""
    caller.require("ask", "listing knowledge bases")
    names = gateway.core.store.bases(caller.tenant)
    return {"object": "list", "data": [{"object": "kvasir.knowledge_base", "name": name} for name in names]}


@router.get("/{base}/branches")
def list_branches(base: str, gateway: GatewayDep, caller: CallerDep) -> dict[str, Any]:
    caller.require("ask", "listing branches")
    return _listed("kvasir.branch", gateway.core.base(caller.tenant, base).branches())


@router.post("/{base}/branches", status_code=201)
def make_branch(base: str, body: RefRequest, gateway: GatewayDep, caller: CallerDep) -> dict[str, Any]:
    caller.require("curate", "making a branch")
    commit = gateway.core.base(caller.tenant, base).branch(body.name, body.at)
    return {"object": "kvasir.branch", "name": body.name, "commit": commit.id}


@router.delete("/{base}/branches/{name:path}")
def delete_branch(base: str, name: str, gateway: GatewayDep, caller: CallerDep) -> dict[str, Any]:
    """Its commits stay readable by their ids until the base is collected."""
    caller.require("curate", "deleting a branch")
    found = gateway.core.base(caller.tenant, base)
    if name == MAIN:
        raise BadRequest(f"'{MAIN}' cannot be deleted: every knowledge base has it", "name")
    found.delete_branch(name)
    return {"object": "kvasir.branch", "name": name, "deleted": True}


@router.get("/{base}/tags")
def list_tags(base: str, gateway: GatewayDep, caller: CallerDep) -> dict[str, Any]:
    caller.require("ask", "listing tags")
    return _listed("kvasir.tag", gateway.core.base(caller.tenant, base).tags())


@router.post("/{base}/tags", status_code=201)
def make_tag(base: str, body: RefRequest, gateway: GatewayDep, caller: CallerDep) -> dict[str, Any]:
    """A tag never moves, and keeps its commit."""
    caller.require("curate", "making a tag")
    commit = gateway.core.base(caller.tenant, base).tag(body.name, body.at)
    return {"object": "kvasir.tag", "name": body.name, "commit": commit.id}


@router.delete("/{base}/tags/{name:path}")
def delete_tag(base: str, name: str, gateway: GatewayDep, caller: CallerDep) -> dict[str, Any]:
    caller.require("curate", "deleting a tag")
    gateway.core.base(caller.tenant, base).delete_tag(name)
    return {"object": "kvasir.tag", "name": name, "deleted": True}


def _listed(what: str, names: Mapping[str, str]) -> dict[str, Any]:
    data = [{"object": what, "name": name, "commit": commit} for name, commit in names.items()]
    return {"object": "list", "data": data}
