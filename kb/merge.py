"""Three-way merge of one branch into another, and what `cherry_pick.py` shares with it.

The merge base is the nearest common ancestor over all parents. Where histories were merged into each other there are
several, and their merge is the base, as in Git's recursive strategy; what conflicts there has no base.
Nothing is changed while a conflict is left: `MergeConflicts` lists all, and a second call resolves each.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Literal

from kb.ancestry import is_ancestor, merge_bases
from kb.codec import decode_item, encode_item
from kb.errors import BranchNotFound, InvalidItem, MergeConflicts, NotInConflict, RefMoved
from kb.item_merge import Disputed, MergeConflict, MergedItem, Resolution, Side, merge_items
from kb.items import Item
from kb.knowledge_base import MAIN, Changes, KnowledgeBase
from kb.objects import Commit, pack, unpack
from kb.tree import TreeWriter, tree_diff, tree_get

Outcome = Literal["up-to-date", "fast-forward", "merged"]
Resolutions = Mapping[str, Resolution]
"""By what each settles: an item's id, or `ID:FIELD`. A whole item can only stand for an item."""

_DISPUTED = "0" * 64
"""In a base that was itself merged: the hash of an item whose merge conflicts. No item has it."""


@dataclass(frozen=True, slots=True)
class Merge:
    """`commit` is the branch's head now; `base` the nearest common ancestor, `None` for several."""

    outcome: Outcome
    commit: Commit
    base: str | None


def merge(
    base: KnowledgeBase,
    revision: str,
    *,
    into: str = MAIN,
    author: str,
    message: str | None = None,
    no_ff: bool = False,
    resolutions: Resolutions | None = None,
    onto: str | None = None,
) -> Merge:
    """Merge a commit (named by branch, tag or id) into the branch `into`.

    The branch is moved there where it can be fast-forwarded, unless `no_ff`. A writer that comes first makes this
    merge again on the new head. `onto` names the head that the resolutions were made for: an item resolved that
    changed since is a `Conflict`. Raises `MergeConflicts`, `NotInConflict`, `BranchNotFound`.
    """
    theirs = base.resolve(revision)
    kind = "branch" if revision in base.branches() else "commit"
    told = message or f"Merge {kind} '{revision}'" + ("" if into == MAIN else f" into {into}")
    while True:
        ours = head_of(base, into)
        if is_ancestor(theirs.id, ours.id, base.commit_at):
            _refuse_idle(resolutions)
            return Merge("up-to-date", ours, theirs.id)
        found = merge_bases(ours.id, theirs.id, base.commit_at)
        nearest = found[0] if len(found) == 1 else None
        try:
            if nearest == ours.id and not no_ff:
                _refuse_idle(resolutions)
                base.fast_forward(into, theirs.id, expected=ours.id)
                return Merge("fast-forward", theirs, nearest)
            merged = three_way(base, _base_tree(base, found), ours, theirs, resolutions or {})
            merged.refuse("merge", into, onto)
            evidence = {"merges": theirs.id, **merged.evidence}
            commit = base.commit_on(
                (ours.id, theirs.id), merged.changes, author=author, message=told, branch=into, evidence=evidence
            )
            return Merge("merged", commit, nearest)
        except RefMoved as moved:
            if moved.found is None:
                raise BranchNotFound(base.name, into) from moved


@dataclass(frozen=True, slots=True)
class ThreeWay:
    """What a three-way merge makes of `ours`, or the conflicts that are left."""

    base: KnowledgeBase
    ours: Commit
    theirs: Commit
    changes: Changes
    conflicts: tuple[MergeConflict, ...]
    resolved: Resolutions

    @property
    def evidence(self) -> dict[str, str]:
        """Who settled what by hand is part of the history."""
        told = (f"{key}={'a given item' if isinstance(how, Item) else how}" for key, how in self.resolved.items())
        return {"resolved": ", ".join(sorted(told))} if self.resolved else {}

    def refuse(self, doing: str, branch: str, onto: str | None) -> None:
        """Raise `MergeConflicts` if any is left, `Conflict` if what was resolved changed since commit `onto`."""
        if self.conflicts:
            raise MergeConflicts(self.base.name, doing, branch, self.ours.id, self.theirs.id, self.conflicts)
        if onto is not None:
            known = self.base.resolve(onto).id
            self.base.refuse_conflicts(known, self.ours.id, {_split(key)[0] for key in self.resolved}, branch)


def three_way(base: KnowledgeBase, tree: Tree, ours: Commit, theirs: Commit, resolutions: Resolutions) -> ThreeWay:
    """Merge what `theirs` changed since the base's tree into `ours`. Raises `NotInConflict`."""
    left, right = Tree(base, ours.tree), Tree(base, theirs.tree)
    put: list[Item] = []
    remove: list[str] = []
    conflicts: list[MergeConflict] = []
    unused = set(resolutions)
    for item_id, states in _changed(tree, left, right):
        merged = merge_items(item_id, *states)
        if merged.conflicts:
            merged = _resolved(item_id, states, merged, resolutions, unused)
        conflicts += merged.conflicts
        if merged.item is None:
            remove.append(item_id)
        elif merged.item != states[1]:
            put.append(merged.item)
    if unused:
        raise NotInConflict(min(unused), sorted(conflict.key for conflict in conflicts))
    return ThreeWay(base, ours, theirs, Changes(tuple(put), tuple(remove)), tuple(conflicts), dict(resolutions))


def head_of(base: KnowledgeBase, branch: str) -> Commit:
    """Raises `BranchNotFound`."""
    head = base.branches().get(branch)
    if head is None:
        raise BranchNotFound(base.name, branch)
    return base.commit_at(head)


def tree_of(base: KnowledgeBase, commit: Commit) -> Tree:
    return Tree(base, commit.tree)


class Tree:
    """A tree, and the objects of it that are not stored because a merge has just made them."""

    def __init__(self, base: KnowledgeBase, root: str, made: Mapping[str, bytes] | None = None) -> None:
        self.base, self.root, self.made = base, root, made or {}

    def node(self, node: str) -> bytes:
        data = self.made.get(node)
        return unpack(self.base.name, node, "tree", data) if data is not None else self.base.tree_node(node)

    def nodes(self, nodes: Collection[str]) -> dict[str, bytes]:
        stored = self.base.tree_nodes([node for node in nodes if node not in self.made])
        return {**stored, **{node: self.node(node) for node in nodes if node in self.made}}

    def item(self, item_hash: str | None) -> Item | None:
        if item_hash is None:
            return None
        data = self.made.get(item_hash)
        if data is not None:
            return decode_item(unpack(self.base.name, item_hash, "item", data))
        return self.base.items_by_hash([item_hash])[item_hash]


States = tuple[Item | Disputed | None, Item | None, Item | None]


def _changed(base: Tree, ours: Tree, theirs: Tree) -> Iterable[tuple[str, States]]:
    """The items that theirs changed and ours has otherwise, with their states at base, ours and theirs."""
    both = Tree(base.base, base.root, {**base.made, **ours.made, **theirs.made})
    for delta in tree_diff(base.root, theirs.root, both.nodes):
        mine = tree_get(ours.root, delta.item, both.node)
        if mine != delta.new:
            before = Disputed() if delta.old == _DISPUTED else both.item(delta.old)
            yield delta.item, (before, both.item(mine), both.item(delta.new))


def _resolved(
    item_id: str, states: States, merged: MergedItem, resolutions: Resolutions, unused: set[str]
) -> MergedItem:
    base, ours, theirs = states
    how = resolutions.get(item_id)
    if how is not None:
        unused.discard(item_id)
        if isinstance(how, Item):
            if how.id != item_id:
                raise InvalidItem(how.id, "id", f"it is given in place of '{item_id}', so its id is that")
            return MergedItem(how)
        if how == "base" and isinstance(base, Disputed):
            raise InvalidItem(item_id, "base", "the histories have no one base for it; take ours, theirs or an item")
        return MergedItem({"base": base, "ours": ours, "theirs": theirs}[how])  # type: ignore[arg-type]
    keys = {key: _split(key)[1] for key in resolutions if _split(key)[0] == item_id}
    fields: dict[str, Side] = {}
    for key, field in keys.items():
        side = resolutions[key]
        if isinstance(side, Item):
            raise InvalidItem(item_id, field, "a whole item cannot stand for one field; resolve the item with it")
        fields[field] = side
    unused -= {key for key in keys if key in {conflict.key for conflict in merged.conflicts}}
    return merge_items(item_id, *states, fields)


def _split(key: str) -> tuple[str, str]:
    """`kind:name:field` → (`kind:name`, `field`); the field is empty in the key of an item."""
    kind, _, rest = key.partition(":")
    name, _, field = rest.partition(":")
    return f"{kind}:{name}", field


def _base_tree(base: KnowledgeBase, bases: tuple[str, ...]) -> Tree:
    """The tree that a merge of these commits starts from: of one, its own; of several, their merge."""
    commits = [base.commit_at(commit) for commit in bases]
    first = Tree(base, commits[0].tree)

    def fold(merged: tuple[Tree, Commit], other: Commit) -> tuple[Tree, Commit]:
        tree, commit = merged
        behind = merge_bases(commit.id, other.id, base.commit_at)
        return _virtual(_base_tree(base, behind), tree, Tree(base, other.tree)), commit

    return reduce(fold, commits[1:], (first, commits[0]))[0]


def _virtual(base: Tree, ours: Tree, theirs: Tree) -> Tree:
    made = {**base.made, **ours.made, **theirs.made}
    entries: dict[str, str | None] = {}
    for item_id, states in _changed(base, ours, theirs):
        merged = merge_items(item_id, *states)
        if merged.conflicts:
            entries[item_id] = _DISPUTED
        elif merged.item is None:
            entries[item_id] = None
        else:
            item_hash, data = pack("item", encode_item(merged.item))
            entries[item_id], made[item_hash] = item_hash, data
    writer = TreeWriter(Tree(base.base, ours.root, made).node)
    root = writer.update(ours.root, entries)
    return Tree(base.base, root, {**made, **writer.written})


def _refuse_idle(resolutions: Resolutions | None) -> None:
    if resolutions:
        raise NotInConflict(min(resolutions), ())
