"""Quarantine: a commit whose schema loses a column takes the items that read it out of use, and says what they lost.

Each commit passes through `settled`, so it does not matter who changes the schema: an introspection, an import, a
merge, a revert. Items come back with their columns. An item that is written again is judged by what it reads now.
`docs/decisions/017-quarantine-is-part-of-the-commit.md` says why.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from kb.changes import Changes
from kb.codec import decode_item
from kb.dependencies import Tables, dependencies, tables_of
from kb.diff import Diff
from kb.items import Item, LostColumn, Schema, Status
from kb.objects import Commit
from kb.schema_loss import Loss, Offer, losses
from kb.tree import Reader, tree_diff

if TYPE_CHECKING:
    from kb.knowledge_base import KnowledgeBase

_SCHEMA = "schema:"
_HAS_LOST = b'"lost":'
TOLD = 20
"""How many items a commit's evidence names."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Changes with what follows from them. `quarantined` and `lifted` are the ids of items that go or come back."""

    changes: Changes
    quarantined: tuple[str, ...] = ()
    lifted: tuple[str, ...] = ()

    @property
    def evidence(self) -> dict[str, str]:
        """So that the log tells it, too."""
        both = {"quarantined": self.quarantined, "lifted": self.lifted}
        return {key: _listed(ids) for key, ids in both.items() if ids}


@dataclass(frozen=True, slots=True)
class QuarantineReport:
    """Items that a change took out of use, and those that it brought back, as they are after it."""

    quarantined: tuple[Item, ...]
    lifted: tuple[Item, ...]


def quarantine_report(diff: Diff) -> QuarantineReport:
    """What a diff says of it. An item that lost one more column is listed again."""
    changed = [(change.old, change.new) for change in diff.changes if change.new is not None]
    pairs = [(old, new) for old, new in changed if new is not None]
    return QuarantineReport(
        tuple(new for old, new in pairs if _is_quarantined(new) and (old is None or old.lost != new.lost)),
        tuple(new for old, new in pairs if old and _is_quarantined(old) and new.status == "active"),
    )


def settled(base: KnowledgeBase, first: Commit, changes: Changes, known: Commit, read: Reader) -> Settled:
    """`changes`, to be made on the commit `first`, with the items that a change of the schema puts into quarantine or
    takes out of it. Items that are put were written against the schema of the commit `known`. `read` gives the nodes
    of the tree of `first`.
    """
    step = _Step(base, first, changes, known, read)
    if not step.is_needed:
        return Settled(changes)
    before = {**step.replaced, **{item.id: item for item in step.others}}
    after = {item.id: step.settled_put(item) for item in changes.put}
    for item in step.others:
        now = step.settled_other(item)
        if now != item:
            after[now.id] = now
    pairs = [(before.get(key), item) for key, item in sorted(after.items())]
    out = (new.id for old, new in pairs if _is_quarantined(new) and (old is None or old.lost != new.lost))
    back = (new.id for old, new in pairs if old and _is_quarantined(old) and new.status == "active")
    return Settled(replace(changes, put=tuple(after.values())), tuple(out), tuple(back))


def still_lost(item: Item, offer: Offer, tables: Tables) -> tuple[LostColumn, ...]:
    """What an item that is to be used again lost for good: it reads it, and it is gone."""
    missing = [each for each in item.lost if not offer.has(each, item)]
    if not missing:
        return ()
    reads = dependencies(item, _with_lost(tables, missing))
    return tuple(each for each in missing if reads.touches(*_split(each)))


class _Step:
    """One commit on its parent. Items are only read where the schema moved, or where one had lost something."""

    def __init__(self, base: KnowledgeBase, first: Commit, changes: Changes, known: Commit, read: Reader) -> None:
        self._base, self._first, self._changes, self._known, self._read = base, first, changes, known, read
        self.replaced = self._replaced()
        old = {key: item for key, item in self.replaced.items() if isinstance(item.body, Schema)}
        new = {item.id: item for item in changes.put if isinstance(item.body, Schema)}
        self._lost, self._gained = bool(losses(old, new)), bool(losses(new, old))
        self._moved = known.tree != first.tree and bool(self._schemas_moved())

    @property
    def is_needed(self) -> bool:
        carrying = any(item.lost for item in (*self.replaced.values(), *self._changes.put))
        return self._lost or self._gained or self._moved or carrying

    def settled_put(self, item: Item) -> Item:
        if isinstance(item.body, Schema) or item.status == "retired":
            return item
        old = self.replaced.get(item.id)
        carried = item.lost or (old.lost if old else ())
        missing = tuple(each for each in carried if not self._offer.has(each, item))
        if item.status == "active":
            missing = () if item.id in self._changes.activated else self._kept(item, missing, old)
        taken = self._taken(item, self._losses_since, missing)
        if carried and item.status == "quarantined" and not missing and not taken:
            return replace(item, status="active", lost=())
        return _marked(item, (*missing, *taken))

    def settled_other(self, item: Item) -> Item:
        if item.status == "retired" or (item.status == "quarantined" and not item.lost):
            return item  # a person's decision
        missing = tuple(each for each in item.lost if not self._offer.has(each, item))
        lost = (*missing, *self._taken(item, self._losses_here, missing))
        if item.status == "quarantined" and not lost:
            return replace(item, status="active", lost=())
        return item if lost == item.lost else _marked(item, lost)

    def _kept(self, item: Item, missing: tuple[LostColumn, ...], old: Item | None) -> tuple[LostColumn, ...]:
        """What an item that is written as usable lacks all the same. Who edited it has seen the new types."""
        edited = old is not None and old.body != item.body
        reads = dependencies(item, _with_lost(self._tables, missing)) if missing else None
        return tuple(
            each
            for each in missing
            if reads is not None and reads.touches(*_split(each)) and not (edited and each.change == "retyped")
        )

    def _taken(self, item: Item, found: Sequence[Loss], missing: Collection[LostColumn]) -> tuple[LostColumn, ...]:
        if not found:
            return ()
        reads = dependencies(item, _with_lost(self._tables, missing))
        taken = [loss for loss in found if self._offer.misses(loss, item, reads)]
        # Of a table that is gone, the columns say more; the table itself is for who reads none of them.
        columns_of = {loss.schema for loss in taken if loss.column}
        known = {each.name.lower() for each in missing}
        return tuple(
            loss.lost
            for loss in taken
            if (loss.column or loss.schema not in columns_of) and loss.lost.name.lower() not in known
        )

    # ── what the states hold, read when it is needed ─────────────────────────────────────────────────────────────

    def _replaced(self) -> dict[str, Item]:
        """The parent's versions of what is put or removed: tables, and items that had lost something."""
        ids = self._changes.ids
        hashes = self._base.hashes_of(ids, self._first, self._read)
        data = self._base.item_bytes(hashes.values())
        raw = {key: data[item_hash] for key, item_hash in hashes.items()}
        return {key: decode_item(value) for key, value in raw.items() if key.startswith(_SCHEMA) or _HAS_LOST in value}

    def _schemas_moved(self) -> list[str]:
        deltas = tree_diff(self._known.tree, self._first.tree, self._base.tree_nodes)
        return [delta.item for delta in deltas if delta.item.startswith(_SCHEMA)]

    @cached_property
    def _head(self) -> dict[str, Item]:
        return self._base.schemas(self._first)

    @cached_property
    def _at_known(self) -> dict[str, Item]:
        return self._base.schemas(self._known) if self._moved else self._head

    @cached_property
    def _after(self) -> dict[str, Item]:
        kept = {key: item for key, item in self._head.items() if key not in self._changes.remove}
        return {**kept, **{item.id: item for item in self._changes.put if isinstance(item.body, Schema)}}

    @cached_property
    def _offer(self) -> Offer:
        return Offer.of(self._after.values())

    @cached_property
    def _tables(self) -> Tables:
        return tables_of((*self._at_known.values(), *self._head.values(), *self._after.values()))

    @cached_property
    def _losses_here(self) -> list[Loss]:
        return losses(self._head, self._after) if self._lost else []

    @cached_property
    def _losses_since(self) -> list[Loss]:
        return losses(self._at_known, self._after) if self._lost or self._moved else []

    @cached_property
    def others(self) -> list[Item]:
        """The items of the parent that are not written here and that this may concern."""
        if not (self._lost or self._gained):
            return []
        written = self._changes.ids
        entries = self._base.entries(self._first.id)
        hashes = [h for key, h in entries.items() if key not in written and not key.startswith(_SCHEMA)]
        return list(self._concerned(self._base.item_bytes(hashes).values()))

    def _concerned(self, objects: Collection[bytes]) -> Iterator[Item]:
        named = [(_as_json(loss.table), _as_json(loss.column)) for loss in self._losses_here]
        for data in objects:
            text = data.decode().lower()
            # A metric's expression may leave its table out.
            metric = '"kind":"metric"' in text
            mentions = any(column in text and (metric or table in text) for table, column in named)
            if mentions or (self._gained and _HAS_LOST in data):
                yield decode_item(data)


def _marked(item: Item, lost: tuple[LostColumn, ...]) -> Item:
    status: Status = "quarantined" if lost and item.status == "active" else item.status
    return replace(item, status=status, lost=lost)


def _is_quarantined(item: Item) -> bool:
    return item.status == "quarantined" and bool(item.lost)


def _with_lost(tables: Tables, lost: Collection[LostColumn]) -> Tables:
    """Tables with the columns that they had when an item was written."""
    more: dict[str, tuple[str, ...]] = {}
    for table, column in map(_split, lost):
        more[table] = (*more.get(table, tuple(tables.get(table, ()))), column)
    return {**tables, **more}


def _split(lost: LostColumn) -> tuple[str, str]:
    table, _, column = lost.name.rpartition(".")
    return (table, column) if lost.type else (lost.name, "")


def _as_json(name: str) -> str:
    """As it stands in an item's bytes, in small letters."""
    return json.dumps(name, ensure_ascii=False)[1:-1].lower()


def _listed(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - TOLD} more" if len(ids) > TOLD else ""
    return ", ".join(ids[:TOLD]) + more
