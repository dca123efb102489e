"""A commit of items that a person sends, and what they should know about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.errors import BadRequest
from kb.dependencies import doubts, tables_of
from kb.errors import ItemNotFound
from kb.items import Item
from kb.knowledge_base import Changes, KnowledgeBase
from kb.objects import Commit


@dataclass(frozen=True, slots=True)
class Edit:
    commit: Commit
    warnings: tuple[str, ...]


def commit_items(
    base: KnowledgeBase,
    put: Sequence[Item],
    remove: Sequence[str],
    *,
    author: str,
    message: str,
    branch: str,
    onto: str | None,
) -> Edit:
    """Raises `BadRequest` where an item is named twice, `ItemNotFound` where one to remove is not there, and what
    `KnowledgeBase.commit` raises."""
    named = Counter([*(item.id for item in put), *remove])
    twice = sorted(item for item, times in named.items() if times > 1)
    if twice:
        raise BadRequest(f"'{twice[0]}' is named twice; put or remove an item once", "put")
    known, head = base.resolve(onto).id if onto else None, base.head(branch)
    absent = sorted(set(remove) - base.hashes_of(remove, head).keys())
    if absent:
        raise ItemNotFound(base.name, absent[0], head.id)
    # Before the commit, so that nothing that is odd about an item can fail what has landed.
    warnings = tuple(doubts(put, tables_of((*base.schemas(head).values(), *put))))
    changes = Changes(tuple(put), tuple(remove))
    commit = base.commit(changes, author=author, message=message, branch=branch, onto=known)
    return Edit(commit, warnings)
