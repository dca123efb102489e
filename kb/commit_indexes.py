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
from kb.dense_index import DenseIndex
from kb.embedding import StoredEmbedder
from kb.entities import among, keys_of, names_of, spellings_of
from kb.item_versions import NONE, ItemVersions
from kb.items import Item
from kb.knowledge_base import KnowledgeBase
from kb.objects import Commit
from kb.search_text import search_text
from kb.shared_index import SharedIndex
from kb.store import BaseId
from kb.tree import tree_diff


@dataclass(frozen=True, slots=True)
class _Delta:
    """Slots that a commit has and its origin has not, and the other way round."""

    added: NDArray[np.int64]
    removed: NDArray[np.int64]


class _Base:
    """The indexes of one base by tree, the one used last at the end. Whoever adds to `shared` holds `growing`.

    `commits` are those that were asked for last, by id: whose index is kept is answered for without its store.
    """

    def __init__(self, shared: SharedIndex, kept: int) -> None:
        self.shared, self._kept = shared, kept
        self.growing = threading.Lock()
        self._lock = threading.Lock()
        self._indexes: OrderedDict[str, CommitIndex] = OrderedDict()
        self._commits: OrderedDict[str, Commit] = OrderedDict()

    def commit(self, commit_id: str) -> Commit | None:
        with self._lock:
            if commit_id in self._commits:
                self._commits.move_to_end(commit_id)
            return self._commits.get(commit_id)

    def keep_commit(self, commit: Commit) -> None:
        with self._lock:
            self._commits[commit.id] = commit
            while len(self._commits) > self._kept:
                self._commits.popitem(last=False)

    def get(self, tree: str) -> CommitIndex | None:
        with self._lock:
            if tree in self._indexes:
                self._indexes.move_to_end(tree)
            return self._indexes.get(tree)

    def keep(self, tree: str, index: CommitIndex) -> None:
        with self._lock:
            self._indexes[tree] = index
            while len(self._indexes) > self._kept:
                self._indexes.popitem(last=False)

    def origin(self, base: KnowledgeBase, commit: Commit) -> CommitIndex:
        """A parent's index, else the one that was used last, else that of nothing."""
        for parent in commit.parents:
            index = self.get(base.commit_at(parent).tree)
            if index is not None:
                return index
        with self._lock:
            last = next(reversed(self._indexes.values()), None)
        return last or CommitIndex.of_nothing(self.shared)


class CommitIndexes:
    """Of each base the `kept` indexes used last, and of the `bases` used last. Safe to call from several threads.

    Bases share the dense index and nothing else: what one holds costs another no time, and is out of its reach.
    """

    def __init__(self, embedder: StoredEmbedder, dense: DenseIndex, *, kept: int, bases: int) -> None:
        self._embedder, self.dense, self._kept, self._most = embedder, dense, kept, bases
        self._lock = threading.Lock()
        self._bases: OrderedDict[BaseId, _Base] = OrderedDict()

    def kept(self, base: KnowledgeBase, commit_id: str) -> tuple[Commit, CommitIndex] | None:
        """What `at` gave for a commit, if it is still here. Nothing is read: a commit is what its id says for ever."""
        of_base = self._of(base.id)
        commit = of_base.commit(commit_id)
        index = of_base.get(commit.tree) if commit is not None else None
        return (commit, index) if commit is not None and index is not None else None

    def items(self, base: KnowledgeBase, hashes: Iterable[str]) -> dict[str, Item]:
        """Items by hash, whatever the commit; those that an index holds are not read."""
        versions, wanted = self._of(base.id).shared.versions, set(hashes)
        held = {key: item for key in wanted if (item := versions.item(key)) is not None}
        return held | base.items_by_hash(wanted - held.keys())

    def at(self, base: KnowledgeBase, commit: Commit) -> CommitIndex:
        of_base = self._of(base.id)
        of_base.keep_commit(commit)
        index = of_base.get(commit.tree)
        if index is not None:
            return index
        # Embedding a commit may take long: only those who need another new commit of the same base wait for it, and
        # they find an origin then.
        with of_base.growing:
            index = of_base.get(commit.tree)
            if index is None:
                index = _derived(base, commit, of_base.origin(base, commit))
                of_base.keep(commit.tree, index)
        return index

    def _of(self, base: BaseId) -> _Base:
        with self._lock:
            if base not in self._bases:
                self._bases[base] = _Base(SharedIndex(self._embedder, self.dense), self._kept)
            self._bases.move_to_end(base)
            while len(self._bases) > self._most:
                self._bases.popitem(last=False)
            return self._bases[base]


def _derived(base: KnowledgeBase, commit: Commit, origin: CommitIndex) -> CommitIndex:
    delta = _delta(base, commit, origin)
    size = len(origin.shared.versions)
    members = _longer(origin.members, size, False)
    members[delta.removed] = False
    members[delta.added] = True
    masks = _longer(origin.masks, size, NONE)
    masks[delta.removed] = NONE
    index = CommitIndex(origin.shared, commit.tree, members, masks)
    masked = {slot: index.mask(search_text(index.item(slot))) for slot in _to_mask(origin, index, delta)}
    numbers = origin.shared.number_masks(masked)
    masks[list(numbers)] = list(numbers.values())
    return index


def _delta(base: KnowledgeBase, commit: Commit, origin: CommitIndex) -> _Delta:
    versions = origin.shared.versions
    deltas = tree_diff(origin.tree, commit.tree, base.tree_nodes)
    old = [delta.old for delta in deltas if delta.old is not None]
    new = [delta.new for delta in deltas if delta.new is not None]
    origin.shared.add(base.items_by_hash(item_hash for item_hash in new if item_hash not in versions))
    return _Delta(_slots(versions, new), _slots(versions, old))


def _to_mask(origin: CommitIndex, index: CommitIndex, delta: _Delta) -> list[int]:
    """Slots of the patterns that are new, or that the changed names may mask in another way."""
    new = [int(slot) for slot in delta.added if index.is_pattern(int(slot))]
    if not (origin.masks != NONE).any():
        return new
    keys, spellings = _changed_names(origin, index, delta)
    touched = origin.shared.patterns.touched(keys, spellings)
    return sorted({*new, *(int(slot) for slot in among(touched, index.members))})


def _changed_names(origin: CommitIndex, index: CommitIndex, delta: _Delta) -> tuple[set[str], set[str]]:
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
