"""Freezing reach: from what the recent requests needed to the order in which prompts show items.

It is a commit of its own, since it changes prompts: a gate can judge it, and until the next one no byte moves.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.errors import BadRequest
from gateway.traces import Traces
from kb.item_reach import WHOLE
from kb.knowledge_base import Changes, KnowledgeBase
from kb.objects import Commit

RECENT_REQUESTS = 1000


@dataclass(frozen=True, slots=True)
class ReachChange:
    """Of one item, in thousandths of the requests that were counted."""

    item: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Freeze:
    """What the last `requests` needed, against what the branch's head said before `commit`."""

    requests: int
    changes: tuple[ReachChange, ...]
    commit: Commit


def freeze_reach(
    base: KnowledgeBase,
    traces: Traces,
    *,
    branch: str,
    author: str,
    recent: int = RECENT_REQUESTS,
) -> Freeze:
    """Freeze the share of the last `recent` requests that needed each item.

    Raises `BadRequest` where no engine has answered any of them, `NothingToCommit` where nothing would change.
    """
    requests, needed = traces.reach(base.id.tenant, base.name, recent)
    if not requests:
        raise BadRequest(f"no engine has answered a question over '{base.name}' yet, so nothing can be counted")
    head = base.head(branch)
    present, before = base.entries(head.id), base.reach(head)
    after = {item: round(WHOLE * count / requests) for item, count in needed.items() if item in present}
    items = sorted({*before, *after} & present.keys())
    changes = tuple(ReachChange(item, before.get(item, 0), after.get(item, 0)) for item in items)
    changes = tuple(change for change in changes if change.before != change.after)
    message = f"Freeze the reach of {len(after)} items over {requests} requests"
    return Freeze(requests, changes, base.commit(Changes(), author=author, message=message, branch=branch, reach=after))
