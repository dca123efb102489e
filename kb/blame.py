"""Blame: for each field of an item, the commit that made it what it is, and what that commit says of its origin.

A field is followed from commit to parent for as long as it stays the same; at a merge, to the first parent
that has it as it is, as Git's `blame` does with lines. Elements of lists are followed by their place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from kb.diff import fields_of
from kb.errors import FieldNotFound, ItemNotFound
from kb.items import Item, Provenance
from kb.knowledge_base import MAIN, KnowledgeBase
from kb.objects import Commit
from kb.tree import tree_get

NODES_KEPT = 4096


@dataclass(frozen=True, slots=True)
class Blame:
    """One field, and the commit that made it what it is. Empty texts are not known.

    `request` and who confirmed it are of the commit's evidence, else of the item's provenance if that commit wrote it.
    `proposal` names the replay that let it in; `source` is another commit that was picked, reverted or merged.
    """

    field: str
    value: Any
    commit: Commit
    request: str
    confirmed_by: str
    confirmed_at: str
    proposal: str
    source: str


def blame(base: KnowledgeBase, item_id: str, field: str | None = None, *, revision: str = MAIN) -> list[Blame]:
    """Every field of an item at a commit, in the item's order; with `field`, that one and those below it.

    Fields are named as in `ItemChange.fields`. Raises `ItemNotFound`, `FieldNotFound`.
    """
    commit = base.resolve(revision)
    history = _History(base, item_id)
    item = history.item_at(commit)
    if item is None:
        raise ItemNotFound(base.name, item_id, commit.id)
    values = fields_of(item)
    wanted = [name for name in values if field is None or name == field or name.startswith(f"{field}.")]
    if not wanted:
        raise FieldNotFound(item_id, field or "", list(values))
    found = {name: origin for origin, names in _origins(history, commit, set(wanted)) for name in names}
    written = {origin.id: history.provenance_written_by(origin) for origin in found.values()}
    return [_blame(name, values[name], found[name], written[found[name].id]) for name in wanted]


class _History:
    """The states of one item. Tree nodes that commits share are read once, so a commit that did not touch the item's
    part of the tree costs its root alone.
    """

    def __init__(self, base: KnowledgeBase, item_id: str) -> None:
        self._base, self._item_id = base, item_id
        self._node = lru_cache(maxsize=NODES_KEPT)(base.tree_node)
        self._item = lru_cache(maxsize=NODES_KEPT)(lambda item_hash: base.items_by_hash([item_hash])[item_hash])

    def hash_at(self, commit: Commit) -> str | None:
        return tree_get(commit.tree, self._item_id, self._node)

    def item_at(self, commit: Commit) -> Item | None:
        item_hash = self.hash_at(commit)
        return self._item(item_hash) if item_hash is not None else None

    def provenance_written_by(self, commit: Commit) -> Provenance | None:
        """The item's provenance, unless a parent had it already: it then speaks of an earlier change."""
        item = self.item_at(commit)
        before = [self.item_at(parent) for parent in self.parents(commit)]
        known = [old.provenance for old in before if old is not None]
        return item.provenance if item is not None and item.provenance not in known else None

    def parents(self, commit: Commit) -> list[Commit]:
        return [self._base.commit_at(parent) for parent in commit.parents]


def _origins(history: _History, start: Commit, fields: set[str]) -> Iterator[tuple[Commit, set[str]]]:
    """Commits with the fields that each made what they are."""
    open_ = [(start, fields)]
    while open_:
        commit, left = open_.pop()
        for parent in history.parents(commit):
            passed = _unchanged(history, commit, parent, left)
            if passed:
                open_.append((parent, passed))
                left = left - passed
            if not left:
                break
        if left:
            yield commit, left


def _unchanged(history: _History, commit: Commit, parent: Commit, fields: set[str]) -> set[str]:
    before = history.hash_at(parent)
    if before == history.hash_at(commit):
        return fields
    old, new = history.item_at(parent), history.item_at(commit)
    if old is None or new is None:
        return set()
    was, now = fields_of(old), fields_of(new)
    return {field for field in fields if field in was and was[field] == now[field]}


def _blame(field: str, value: Any, commit: Commit, provenance: Provenance | None) -> Blame:
    evidence = commit.evidence
    origin = provenance or Provenance("")
    request = evidence.get("request", origin.request_id)
    if request != origin.request_id:
        # The lesson of a request changed an item of another; its author is who confirmed that request.
        origin = Provenance("", confirmed_by=commit.author)
    source = next((evidence[key] for key in ("cherry_picks", "reverts", "merges") if key in evidence), "")
    return Blame(
        field=field,
        value=value,
        commit=commit,
        request=request,
        confirmed_by=origin.confirmed_by,
        confirmed_at=origin.confirmed_at,
        proposal=evidence.get("proposal", ""),
        source=source,
    )
