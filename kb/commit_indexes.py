"""The indexes of commits: each is derived from that of its parent, or the one used last, by what differs.

A commit that was landed a moment ago costs its own items, whatever the size of the base.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kb.commit_index import CommitIndex
from kb.entities import among, keys_of, names_of, spellings_of
from kb.item_versions import NONE, ItemVersions
from kb.knowledge_base import KnowledgeBase
from kb.objects import Commit
from kb.search_text import search_text
from kb.shared_index import SharedIndex
from kb.tree import tree_diff

Key = tuple[str, str]
"""Base and tree."""


@dataclass(frozen=True, slots=True)
class _Delta:
    """Slots that a commit has and its origin has not, and the other way round."""

    added: NDArray[np.int64]
    removed: NDArray[np.int64]


class CommitIndexes:
    """Keeps the `kept` indexes used last. Safe to call from several threads."""

    def __init__(self, shared: SharedIndex, *, kept: int) -> None:
        self.shared, self._kept = shared, kept
        self._lock = threading.Lock()
        self._indexes: OrderedDict[Key, CommitIndex] = OrderedDict()
        self._making: dict[str, threading.Lock] = {}

    def at(self, base: KnowledgeBase, commit: Commit) -> CommitIndex:
        key = (str(base.id), commit.tree)
        index = self._get(key)
        if index is not None:
            return index
        with self._lock:
            making = self._making.setdefault(str(base.id), threading.Lock())
        # Embedding a commit may take long: only those who need another new commit of the same base wait for it, and
        # they find an origin then.
        with making:
            index = self._get(key)
            if index is None:
                index = self._derived(base, commit, self._origin(base, commit))
                self._keep(key, index)
        return index

    def _get(self, key: Key) -> CommitIndex | None:
        with self._lock:
            if key in self._indexes:
                self._indexes.move_to_end(key)
            return self._indexes.get(key)

    def _keep(self, key: Key, index: CommitIndex) -> None:
        with self._lock:
            self._indexes[key] = index
            while len(self._indexes) > self._kept:
                self._indexes.popitem(last=False)

    def _origin(self, base: KnowledgeBase, commit: Commit) -> CommitIndex:
        """A parent's index, else the one of this base that was used last, else that of nothing."""
        for parent in commit.parents:
            index = self._get((str(base.id), base.commit_at(parent).tree))
            if index is not None:
                return index
        with self._lock:
            for (known, _), index in reversed(self._indexes.items()):
                if known == str(base.id):
                    return index
        return CommitIndex(self.shared, None, np.zeros(0, dtype=np.bool_), np.zeros(0, dtype=np.int32))

    def _derived(self, base: KnowledgeBase, commit: Commit, origin: CommitIndex) -> CommitIndex:
        delta = self._delta(base, commit, origin)
        size = len(self.shared.versions)
        members = _longer(origin.members, size, False)
        members[delta.removed] = False
        members[delta.added] = True
        masks = _longer(origin.masks, size, NONE)
        masks[delta.removed] = NONE
        index = CommitIndex(self.shared, commit.tree, members, masks)
        masked = {slot: index.mask(search_text(index.item(slot))) for slot in self._to_mask(origin, index, delta)}
        numbers = self.shared.number_masks(masked)
        masks[list(numbers)] = list(numbers.values())
        return index

    def _delta(self, base: KnowledgeBase, commit: Commit, origin: CommitIndex) -> _Delta:
        versions = self.shared.versions
        deltas = tree_diff(origin.tree, commit.tree, base.tree_nodes)
        old = [delta.old for delta in deltas if delta.old is not None]
        new = [delta.new for delta in deltas if delta.new is not None]
        self.shared.add(base.items_by_hash(item_hash for item_hash in new if item_hash not in versions))
        return _Delta(_slots(versions, new), _slots(versions, old))

    def _to_mask(self, origin: CommitIndex, index: CommitIndex, delta: _Delta) -> list[int]:
        """Slots of the patterns that are new, or that the changed names may mask in another way."""
        new = [int(slot) for slot in delta.added if index.is_pattern(int(slot))]
        if not (origin.masks != NONE).any():
            return new
        keys, spellings = self._changed_names(origin, index, delta)
        touched = self.shared.patterns.touched(keys, spellings)
        return sorted({*new, *(int(slot) for slot in among(touched, index.members))})

    def _changed_names(self, origin: CommitIndex, index: CommitIndex, delta: _Delta) -> tuple[set[str], set[str]]:
        """Keys and spellings of the names that one of the two commits has and the other has not."""
        slots = [int(slot) for slot in (*delta.removed, *delta.added)]
        changed = {
            name
            for name in {name for slot in slots for name in names_of(index.item(slot))}
            for key in keys_of(name.surface)
            if (name in origin.entities.owners(key)) != (name in index.entities.owners(key))
        }
        keys = {key for name in changed for key in keys_of(name.surface)}
        # A name that comes or goes changes what all spellings of its keys stand for.
        names = {name for key in keys for view in (origin, index) for name in view.entities.owners(key)}
        return keys, {spelling for name in names for spelling, _ in spellings_of(name.surface, name.kind)}


def _slots(versions: ItemVersions, hashes: Iterable[str]) -> NDArray[np.int64]:
    """Of those that are retrieved."""
    found = (versions.slot(item_hash) for item_hash in hashes)
    return np.array([slot for slot in found if slot is not None], dtype=np.int64)


def _longer(values: NDArray[Any], size: int, fill: object) -> NDArray[Any]:
    """A copy, filled up to `size`."""
    copy = np.full(size, fill, dtype=values.dtype)
    copy[: len(values)] = values
    return copy
