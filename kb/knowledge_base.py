"""A knowledge base: a versioned set of items, read and changed through commits.

Words and behaviour are Git's: a commit is immutable, a branch is a pointer that only a commit on top of it moves,
any read can name any commit. A writer that finds the branch moved rebases itself when the items differ.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType

from kb.ancestry import is_ancestor
from kb.changes import Changes as Changes
from kb.changes import Snapshot as Snapshot
from kb.codec import decode_item, encode_item
from kb.diff import Diff, ItemChange
from kb.errors import (
    AlreadyExists,
    BaseNotFound,
    BranchNotFound,
    CommitNotFound,
    Conflict,
    ItemNotFound,
    NotADescendant,
    NothingToCommit,
    ObjectCorrupt,
    RefMoved,
    TagNotFound,
)
from kb.item_reach import pack_reach, unpack_reach
from kb.items import Item
from kb.landing import Landing
from kb.objects import Commit, Tag, intact, pack, pack_commit, unpack, unpack_commit
from kb.quarantine import settled
from kb.ref_names import MAIN as MAIN
from kb.ref_names import check_base_name, check_ref_name
from kb.revision import id_named_by, resolve
from kb.store import BaseId, RefMove, Store
from kb.tree import Reader, TreeWriter, all_entries, tree_diff, tree_get

FEW = 64
"""Up to so many items are looked for in a tree one by one; for more, all of it is read."""
KEPT_REACH = 16
"""Frozen reaches that are kept in memory; most commits share one."""


class KnowledgeBase:
    """One base of one tenant. Safe to use from several threads if its store is."""

    def __init__(
        self,
        store: Store,
        tenant: str,
        name: str,
        *,
        now: Callable[[], datetime] | None = None,
        landing: Landing | None = None,
    ) -> None:
        """Opens it. `landing` has a say before a branch moves. Raises `BaseNotFound`."""
        self.id = BaseId(tenant, name)
        self.store = store
        self._landing = landing
        self._now = now or (lambda: datetime.now(UTC))
        self._reach_of = lru_cache(KEPT_REACH)(self._read_reach)
        if name not in store.bases(tenant):
            raise BaseNotFound(name, store.bases(tenant))

    @classmethod
    def create(
        cls, store: Store, tenant: str, name: str, *, author: str, now: Callable[[], datetime] | None = None
    ) -> KnowledgeBase:
        """Make a base with an empty first commit on `main`. Raises `AlreadyExists`, `InvalidName`."""
        check_base_name(name)
        try:
            store.create_base(BaseId(tenant, name))
        except AlreadyExists:
            # Without a branch, it was left by a process that died before the first commit.
            if store.refs(BaseId(tenant, name)):
                raise
        base = cls(store, tenant, name, now=now)
        writer = TreeWriter(base.tree_node)
        root = writer.build({})
        try:
            base._write_commit(writer.written, root, (), MAIN, None, author, "Start the knowledge base", {})
        except RefMoved as exc:
            raise AlreadyExists("knowledge base", name) from exc
        return base

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def name(self) -> str:
        return self.id.name

    def branches(self) -> dict[str, str]:
        """Branch → commit id, by name."""
        return self._names("heads/")

    def tags(self) -> dict[str, str]:
        return self._names("tags/")

    def resolve(self, revision: str = MAIN) -> Commit:
        """The commit a branch, tag, (abbreviated) id names, followed by any `~N` or `^`; `HEAD` is `main`."""
        return resolve(self, revision)

    def id_named_by(self, revision: str) -> str | None:
        """The commit id that a branch, a tag or a full id names; the commit is not read. `None` for all else."""
        return id_named_by(self, revision)

    def head(self, branch: str = MAIN) -> Commit:
        """Raises `BranchNotFound`."""
        commit_id = self.branches().get(branch)
        if commit_id is None:
            raise BranchNotFound(self.name, branch)
        return self.commit_at(commit_id)

    def commit_at(self, commit_id: str) -> Commit:
        """The commit of a full id."""
        return unpack_commit(self.name, commit_id, self._object(commit_id))

    def log(self, revision: str = MAIN, *, limit: int | None = None, item: str | None = None) -> list[Commit]:
        """Commits from `revision` back along first parents, newest first; with `item`, those that changed it."""
        commits: list[Commit] = []
        commit: Commit | None = self.resolve(revision)
        while commit and (limit is None or len(commits) < limit):
            parent = self.commit_at(commit.parent) if commit.parent else None
            if item is None or self._hash_of(item, commit) != (self._hash_of(item, parent) if parent else None):
                commits.append(commit)
            commit = parent
        return commits

    def is_ancestor(self, commit_id: str, revision: str) -> bool:
        """Whether a commit is `revision` or stands behind it, over all parents."""
        return is_ancestor(commit_id, self.resolve(revision).id, self.commit_at)

    def snapshot(self, revision: str = MAIN) -> Snapshot:
        """All items at a commit, by id."""
        commit = self.resolve(revision)
        hashes = dict(sorted(self.entries(commit.id).items()))
        objects = self._objects(set(hashes.values()), "item")
        items = {item: decode_item(objects[item_hash]) for item, item_hash in hashes.items()}
        return Snapshot(commit, hashes, items)

    def entries(self, revision: str = MAIN) -> dict[str, str]:
        """Item id → item hash of all items; none of them is read."""
        return all_entries(self.resolve(revision).tree, self.tree_nodes)

    def schemas(self, commit: Commit) -> dict[str, Item]:
        """The schema items of a commit, by id; no other item is read."""
        hashes = {key: value for key, value in self.entries(commit.id).items() if key.startswith("schema:")}
        items = self.items_by_hash(hashes.values())
        return {item: items[item_hash] for item, item_hash in hashes.items()}

    def item(self, item_id: str, revision: str = MAIN) -> Item:
        commit = self.resolve(revision)
        item_hash = self._hash_of(item_id, commit)
        if item_hash is None:
            raise ItemNotFound(self.name, item_id, commit.id)
        return self.items_by_hash([item_hash])[item_hash]

    def items_by_hash(self, hashes: Iterable[str]) -> dict[str, Item]:
        """Items by the hash a trace or session recorded, whatever the commit."""
        return {key: decode_item(data) for key, data in self.item_bytes(hashes).items()}

    def item_bytes(self, hashes: Iterable[str]) -> dict[str, bytes]:
        """The same as canonical JSON, for who looks into many and needs few."""
        return self._objects(set(hashes), "item")

    def hashes_of(self, item_ids: Collection[str], commit: Commit, read: Reader | None = None) -> dict[str, str]:
        """Item id → item hash at a commit; ids that are not there are left out."""
        read = read or lru_cache(self.tree_node)
        if len(item_ids) > FEW:
            entries = all_entries(commit.tree, self.tree_nodes)
            return {item: entries[item] for item in item_ids if item in entries}
        found = ((item, tree_get(commit.tree, item, read)) for item in item_ids)
        return {item: item_hash for item, item_hash in found if item_hash is not None}

    def tree_node(self, node: str) -> bytes:
        """The content of a node of a commit's tree, as the functions of `kb/tree.py` read it."""
        return unpack(self.name, node, "tree", self._object(node))

    def tree_nodes(self, nodes: Collection[str]) -> dict[str, bytes]:
        """The same of several at once, by node."""
        return self._objects(nodes, "tree")

    def reach(self, commit: Commit) -> Mapping[str, int]:
        """Item id → reach as it was frozen, in thousandths; 0 of what is not there."""
        return self._reach_of(commit.reach) if commit.reach is not None else {}

    def diff(self, old: str, new: str) -> Diff:
        """Item by item what differs from commit `old` to commit `new`."""
        before, after = self.resolve(old), self.resolve(new)
        deltas = tree_diff(before.tree, after.tree, self.tree_nodes)
        items = self.items_by_hash(h for delta in deltas for h in (delta.old, delta.new) if h)
        changes = tuple(
            ItemChange(delta.item, delta.old and items[delta.old], delta.new and items[delta.new])  # type: ignore[arg-type]
            for delta in deltas
        )
        return Diff(before.id, after.id, changes)

    # ── changing ─────────────────────────────────────────────────────────────────────────────────────────────

    def commit(
        self,
        changes: Changes,
        *,
        author: str,
        message: str,
        branch: str = MAIN,
        evidence: Mapping[str, str] | None = None,
        onto: str | None = None,
        reach: Mapping[str, int] | None = None,
    ) -> Commit:
        """Commit on a branch's head, with the quarantine that follows (`kb/quarantine.py`). If `onto` names the commit
        the changes were made for, an item that changed between it and the head is a `Conflict`; so is one another
        writer changes while this runs. `reach` is frozen in place of the parent's. Raises `NothingToCommit` where
        neither an item nor the reach would change.
        """
        head = self.branches().get(branch)
        if head is None:
            raise BranchNotFound(self.name, branch)
        known = made_for = onto or head
        while True:
            self.refuse_conflicts(known, head, changes.ids, branch)
            try:
                return self.commit_on(
                    (head,),
                    changes,
                    author=author,
                    message=message,
                    branch=branch,
                    evidence=evidence,
                    known=made_for,
                    reach=reach,
                )
            except RefMoved as moved:
                if moved.found is None:
                    raise BranchNotFound(self.name, branch) from moved
                known, head = head, moved.found

    def commit_on(
        self,
        parents: tuple[str, ...],
        changes: Changes,
        *,
        author: str,
        message: str,
        branch: str,
        evidence: Mapping[str, str] | None = None,
        known: str | None = None,
        reach: Mapping[str, int] | None = None,
    ) -> Commit:
        """Commit what `changes` makes of the first parent, which must be the branch's head: raises `RefMoved`.

        More than one parent makes a merge, which is recorded even where it changes nothing; else that is
        `NothingToCommit`. `known` is the commit against whose schema the items were written, if not that parent.
        Without `reach`, that of the first parent stays.
        """
        first = self.commit_at(parents[0])
        read = lru_cache(self.tree_node)
        made_for = first if known in (None, first.id) else self.commit_at(known or "")
        step = settled(self, first, changes, made_for, read)
        written, root = self._tree_after(first, step.changes, read)
        frozen = first.reach
        if reach is not None:
            frozen, data = pack_reach(reach)
            written[frozen] = data
        if root == first.tree and frozen == first.reach and len(parents) == 1:
            raise NothingToCommit(self.name, branch)
        told = {**(evidence or {}), **step.evidence}
        return self._write_commit(written, root, parents, branch, first.id, author, message, told, frozen)

    def refuse_conflicts(self, known: str, head: str, item_ids: Collection[str], branch: str) -> None:
        """Raise `Conflict` where one of the items changed from commit `known` to `head`."""
        if known == head:
            return
        deltas = tree_diff(self.commit_at(known).tree, self.commit_at(head).tree, self.tree_nodes)
        moved = {delta.item for delta in deltas} & set(item_ids)
        if moved:
            raise Conflict(self.name, branch, sorted(moved), "commit")

    def branch(self, name: str, at: str = MAIN) -> Commit:
        """Make a branch; nothing is copied. Raises `AlreadyExists`, `InvalidName`."""
        return self._make_ref("branch", f"heads/{name}", name, at)

    def tag(self, name: str, at: str = MAIN) -> Commit:
        return self._make_ref("tag", f"tags/{name}", name, at)

    def delete_branch(self, name: str) -> None:
        """Its commits stay readable by their ids until a `gc`. Raises `BranchNotFound`, for `main` as well."""
        head = self.branches().get(name)
        if head is None or name == MAIN:
            raise BranchNotFound(self.name, name)
        self.store.write(self.id, {}, [RefMove(f"heads/{name}", head, None)])

    def delete_tag(self, name: str) -> None:
        """Raises `TagNotFound`."""
        commit = self.tags().get(name)
        if commit is None:
            raise TagNotFound(self.name, name)
        self.store.write(self.id, {}, [RefMove(f"tags/{name}", commit, None)])

    def fast_forward(self, branch: str, to: str, *, expected: str) -> None:
        """Move a branch from commit `expected` to `to`. Raises `RefMoved` if the branch has moved on, `NotADescendant`
        if `to` does not stand on `expected`.
        """
        target = self.resolve(to)
        if not self.is_ancestor(expected, target.id):
            raise NotADescendant(self.name, branch, expected, target.id)
        with self._before(branch, expected, target.id) or nullcontext():
            self._point(f"heads/{branch}", expected, target.id)

    def reset_branch(self, branch: str, to: str) -> None:
        """Point a work branch (a proposal's) at a commit, making it where it does not exist. Never for `main`."""
        assert branch != MAIN, "main only moves forward"
        check_ref_name("branch", branch)
        head, target = self.branches().get(branch), self.resolve(to).id
        if head != target:
            self._point(f"heads/{branch}", head, target)

    def revert(self, revision: str, *, author: str, branch: str = MAIN) -> Commit:
        """Commit the inverse of a commit. Raises `Conflict` where a later commit changed the same items."""
        target = self.resolve(revision)
        if target.parent is None:
            raise NothingToCommit(self.name, branch)
        diff = self.diff(target.parent, target.id)
        put = tuple(change.old for change in diff.changes if change.old)
        remove = tuple(change.id for change in diff.changes if change.old is None)
        return self.commit(
            Changes(put, remove),
            author=author,
            message=f"Revert {target.short_id}: {target.message}",
            branch=branch,
            evidence={"reverts": target.id},
            onto=target.id,
        )

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────

    def _tree_after(self, parent: Commit, changes: Changes, read: Reader) -> tuple[dict[str, bytes], str]:
        writer = TreeWriter(read)
        entries: dict[str, str | None] = dict.fromkeys(changes.remove)
        objects: dict[str, bytes] = {}
        for item in changes.put:
            item_hash, data = pack("item", encode_item(item))
            entries[item.id] = item_hash
            objects[item_hash] = data
        root = writer.update(parent.tree, entries)
        return {**objects, **writer.written}, root

    def _write_commit(
        self,
        objects: Mapping[str, bytes],
        root: str,
        parents: tuple[str, ...],
        branch: str,
        expected: str | None,
        author: str,
        message: str,
        evidence: Mapping[str, str],
        reach: str | None = None,
    ) -> Commit:
        created_at = self._now().astimezone(UTC).isoformat(timespec="microseconds")
        commit, data = pack_commit(
            str(self.id),
            root,
            parents,
            author=author,
            message=message,
            created_at=created_at,
            evidence=evidence,
            reach=reach,
        )
        written, move = {**objects, commit.id: data}, RefMove(f"heads/{branch}", expected, commit.id)
        landing = self._before(branch, expected, commit.id)
        if landing is not None:
            self.store.write(self.id, written, present=parents)
        with landing or nullcontext():
            # All of it again, of which what is there is left as it is: a gc may have come in between.
            self.store.write(self.id, written, [move], present=parents)
        return commit

    def _before(self, branch: str, head: str | None, commit_id: str) -> AbstractContextManager[None] | None:
        """What goes around the move of a branch, where anybody has a say."""
        if self._landing is None or head is None or not self._landing.concerns(self.id, branch):
            return None
        return self._landing.before(self, branch, head, commit_id)

    def _make_ref(self, what: str, ref: str, name: str, at: str) -> Commit:
        check_ref_name(what, name)
        commit = self.resolve(at)
        try:
            self._point(ref, None, commit.id)
        except RefMoved as exc:
            raise AlreadyExists(what, name) from exc
        return commit

    def _point(self, ref: str, expected: str | None, commit_id: str) -> None:
        try:
            self.store.write(self.id, {}, [RefMove(ref, expected, commit_id)], present=[commit_id])
        except ObjectCorrupt as exc:
            # No branch held it, and a gc has come between its reading and this.
            raise CommitNotFound(self.name, commit_id) from exc

    def _names(self, prefix: str) -> dict[str, str]:
        refs = self.store.refs(self.id)
        return {ref[len(prefix) :]: refs[ref] for ref in sorted(refs) if ref.startswith(prefix)}

    def _read_reach(self, object_id: str) -> Mapping[str, int]:
        return MappingProxyType(unpack_reach(self.name, object_id, self._object(object_id)))

    def _hash_of(self, item_id: str, commit: Commit) -> str | None:
        return tree_get(commit.tree, item_id, self.tree_node)

    def _objects(self, object_ids: Iterable[str], tag: Tag) -> dict[str, bytes]:
        wanted: Sequence[str] = sorted(object_ids)
        found = self.store.read(self.id, wanted) if wanted else {}
        return {key: unpack(self.name, key, tag, intact(self.name, key, found.get(key))) for key in wanted}

    def _object(self, object_id: str) -> bytes:
        return intact(self.name, object_id, self.store.read(self.id, [object_id]).get(object_id))
