"""`POST /v1/kb/{base}/merge`: merge a branch of a knowledge base into another."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from gateway.routes.dependencies import CallerDep, GatewayDep
from gateway.wire import StorableText
from kb.codec import item_from_dict
from kb.item_merge import Resolution, Side
from kb.knowledge_base import MAIN
from kb.merge import merge

router = APIRouter(prefix="/v1/kb", tags=["knowledge"])


class MergeRequest(BaseModel):
    """`resolutions` maps the `key` of a conflict, or an item's id, to a side or to a whole item."""

    model_config = ConfigDict(extra="forbid")

    branch: StorableText = Field(min_length=1)
    into: StorableText = Field(MAIN, min_length=1)
    message: StorableText | None = Field(None, min_length=1, max_length=2000)
    no_ff: bool = False
    resolutions: dict[StorableText, Side | dict[str, Any]] = Field(default_factory=dict)
    onto: StorableText | None = Field(None, min_length=1)

    def to_resolutions(self) -> dict[str, Resolution]:
        """Raises `InvalidItem`."""
        return {key: item_from_dict(how) if isinstance(how, dict) else how for key, how in self.resolutions.items()}


@router.post("/{base}/merge")
def merge_branch(base: str, body: MergeRequest, gateway: GatewayDep, caller: CallerDep) -> dict[str, Any]:
    """Merge field by field; a 409 lists the conflicts, and a second call brings a resolution for each."""
    # The role that lands proposals: whoever may only confirm must not merge one past its replay and its curator.
    caller.require("curate", "merging a branch")
    merged = merge(
        gateway.core.base(caller.tenant, base),
        body.branch,
        into=body.into,
        author=caller.name,
        message=body.message,
        no_ff=body.no_ff,
        resolutions=body.to_resolutions(),
        onto=body.onto,
    )
    return {"object": "kvasir.merge", **asdict(merged)}
