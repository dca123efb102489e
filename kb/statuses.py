"""Whether items are in use, and a person's decision about it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from kb.codec import decode_item
from kb.dependencies import tables_of
from kb.errors import ItemNotFound, StillLost
from kb.items import Item, Kind, Status
from kb.knowledge_base import MAIN, Changes, KnowledgeBase
from kb.objects import Commit
from kb.quarantine import still_lost
from kb.schema_loss import Offer

PAGE = 1000
"""Items that are read at once."""


def items_of(
    base: KnowledgeBase,
    revision: str = MAIN,
    *,
    kind: Kind | None = None,
    status: Status | None = None,
    after: str = "",
    limit: int | None = None,
) -> list[Item]:
    """The items of a kind and status at a commit, by id, from the first one behind `after`."""
    entries = base.entries(revision)
    wanted = sorted(key for key in entries if key > after and (kind is None or key.startswith(f"{kind}:")))
    # Looking for a few among many, most need not be read as items.
    mark = f'"status":"{status}"'.encode() if status else b""
    found: list[Item] = []
    for at in range(0, len(wanted), PAGE):
        data = base.item_bytes(entries[key] for key in wanted[at : at + PAGE])
        items = (decode_item(data[entries[key]]) for key in wanted[at : at + PAGE] if mark in data[entries[key]])
        found += (item for item in items if status in (None, item.status))
        if limit is not None and len(found) >= limit:
            break
    return found[:limit]


def activate(
    base: KnowledgeBase,
    item_ids: Collection[str],
    *,
    author: str,
    branch: str = MAIN,
    message: str | None = None,
    onto: str | None = None,
) -> Commit:
    """Commit items as active: imported ones that are proposed, retired ones, and ones that were quarantined and are
    right again.

    A column that is back in another type is for the person to judge; for one that is gone the item must be edited
    first: raises `StillLost`. Also raises `ItemNotFound`, `NothingToCommit`, and `Conflict` where an item changed
    after commit `onto`.
    """
    head = base.head(branch)
    items = _items(base, item_ids, head)
    if any(item.lost for item in items):
        schemas = base.schemas(head).values()
        offer, tables = Offer.of(schemas), tables_of(schemas)
        for item in items:
            lost = [each for each in still_lost(item, offer, tables) if each.change != "retyped"]
            if lost:
                raise StillLost(base.name, item.id, lost)
    put = tuple(replace(item, status="active", lost=()) for item in items)
    changes = Changes(put, activated=frozenset(item.id for item in put))
    known = base.resolve(onto).id if onto else head.id
    told = message or f"Activate {_named(items)}"
    return base.commit(changes, author=author, message=told, branch=branch, onto=known)


def retire(
    base: KnowledgeBase,
    item_ids: Collection[str],
    *,
    author: str,
    branch: str = MAIN,
    message: str | None = None,
    reason: str = "",
    onto: str | None = None,
) -> Commit:
    """Commit items as retired: nothing retrieves them, and nothing is deleted. `reason` ends the message.

    Raises what `activate` raises.
    """
    head = base.head(branch)
    items = _items(base, item_ids, head)
    changes = Changes(tuple(item.with_status("retired") for item in items))
    known = base.resolve(onto).id if onto else head.id
    told = message or f"Retire {_named(items)}"
    told = f"{told}: {reason}" if reason else told
    return base.commit(changes, author=author, message=told, branch=branch, onto=known)


def _items(base: KnowledgeBase, item_ids: Collection[str], head: Commit) -> list[Item]:
    hashes = base.hashes_of(item_ids, head)
    for item in item_ids:
        if item not in hashes:
            raise ItemNotFound(base.name, item, head.id)
    items = base.items_by_hash(hashes.values())
    return [items[hashes[item]] for item in dict.fromkeys(item_ids)]


def _named(items: Collection[Item]) -> str:
    names = [item.id for item in items]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
