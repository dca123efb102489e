"""Three-way merge of one branch into another, and what `cherry_pick.py` shares with it.

The merge base is the nearest common ancestor over all parents. Where histories were merged into each other there are
several, and their merge is the base, as in Git's recursive strategy; what conflicts there has no base.
Nothing is changed while a conflict is left: `MergeConflicts` lists all, and a second call resolves each.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Literal

from kb.ancestry import is_ancestor, merge_bases
from kb.codec import decode_item, encode_item
from kb.cross_conflicts import (
    AnyConflict,
    CrossConflict,
    MetricDefinedTwice,
    SideChange,
    SideName,
    metrics_defined_twice,
    schemas_removed,
)
from kb.errors import BranchNotFound, InvalidItem, MergeConflicts, NotInConflict, RefMoved
from kb.item_merge import Disputed, MergedItem, Resolution, Side, merge_items
from kb.items import Item, Schema
from kb.knowledge_base import MAIN, Changes, KnowledgeBase
from kb.objects import Commit, pack, unpack
from kb.tree import TreeDelta, TreeWriter, tree_diff, tree_get

_NO_BASE = "the histories have no one base for it; take ours, theirs or an item"
_NOT_BOTH = "of one item there is only one; take ours, theirs, base or an item"

Outcome = Literal["up-to-date", "fast-forward", "merged"]
Resolutions = Mapping[str, Resolution]
"""By what each settles: an item's id, or `ID:FIELD`. A whole item can only stand for an item."""

_DISPUTED = "0" * 64
"""In a base that was itself merged: the hash of an item whose merge conflicts. No item has it."""


@dataclass(frozen=True, slots=True)
class Merge:
    """`commit` is the branch's head now, `before` the one that it had; `base` the nearest common ancestor, `None` for
    several.
    """

    outcome: Outcome
    commit: Commit
    base: str | None
    before: str


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
        ours = base.head(into)
        if is_ancestor(theirs.id, ours.id, base.commit_at):
            _refuse_idle(resolutions)
            return Merge("up-to-date", ours, theirs.id, ours.id)
        found = merge_bases(ours.id, theirs.id, base.commit_at)
        nearest = found[0] if len(found) == 1 else None
        try:
            if nearest == ours.id and not no_ff:
                _refuse_idle(resolutions)
                base.fast_forward(into, theirs.id, expected=ours.id)
                return Merge("fast-forward", theirs, nearest, ours.id)
            merged = three_way(base, _base_tree(base, found), ours, theirs, resolutions or {})
            merged.refuse("merge", into, onto)
            evidence = {"merges": theirs.id, **merged.evidence}
            commit = base.commit_on(
                (ours.id, theirs.id),
                merged.changes,
                author=author,
                message=told,
                branch=into,
                evidence=evidence,
                known=found[0],
                reach=_reach_of_theirs(base, found, ours, theirs),
            )
            return Merge("merged", commit, nearest, ours.id)
        except RefMoved as moved:
            if moved.found is None:
                raise BranchNotFound(base.name, into) from moved


def _reach_of_theirs(
    base: KnowledgeBase, found: tuple[str, ...], ours: Commit, theirs: Commit
) -> Mapping[str, int] | None:
    """What theirs alone froze since the merge bases `found`; where ours did, it stands: `None`."""
    before = {base.commit_at(commit).reach for commit in found}
    return base.reach(theirs) if ours.reach in before and theirs.reach not in before else None


@dataclass(frozen=True, slots=True)
class ThreeWay:
    """What a three-way merge makes of `ours`, or the conflicts that are left."""

    base: KnowledgeBase
    ours: Commit
    theirs: Commit
    changes: Changes
    conflicts: tuple[AnyConflict, ...]
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
            items = {item for key in self.resolved for item in _items_of(key)}
            self.base.refuse_conflicts(known, self.ours.id, items, branch)


def three_way(
    base: KnowledgeBase, tree: Tree, ours: Commit, theirs: Commit, resolutions: Resolutions, *, picked: bool = False
) -> ThreeWay:
    """Merge what `theirs` changed since the base's tree into `ours`. Raises `NotInConflict`.

    With `picked`, a change of the schema in `theirs` is no conflict with what `ours` wrote: it quarantines that.
    """
    left, right = Tree(base, ours.tree), Tree(base, theirs.tree)
    states = dict(_changed(tree, left, right))
    merged: dict[str, MergedItem] = {}
    unused = set(resolutions)
    for item_id, sides in states.items():
        outcome = merge_items(item_id, *sides)
        if outcome.conflicts:
            outcome = _resolved(item_id, sides, outcome, resolutions, unused)
        merged[item_id] = _unmarked(outcome, *sides[1:])
    crossing: list[CrossConflict] = []
    settled: dict[str, tuple[str, MergedItem]] = {}
    for conflict in _crossing(base, tree, (left, ours), (right, theirs), picked):
        # Who decided about the item as a whole has decided about this.
        if any(item in resolutions and item not in unused for item in conflict.items):
            continue
        how = resolutions.get(conflict.key)
        unused.discard(conflict.key)
        if how is None:
            crossing.append(conflict)
        else:
            for item_id, outcome in _settled_pair(conflict, how, merged, (tree, left, right)).items():
                key, known = settled.setdefault(item_id, (conflict.key, outcome))
                if known != outcome:
                    raise InvalidItem(item_id, conflict.key, f"its resolution and that of '{key}' differ on this item")
    merged.update((item_id, outcome) for item_id, (_, outcome) in settled.items())
    conflicts = (*(each for outcome in merged.values() for each in outcome.conflicts), *crossing)
    if unused:
        raise NotInConflict(min(unused), sorted(conflict.key for conflict in conflicts))
    before = {key: states[key][1] if key in states else _item_at(left, key) for key in merged}
    return ThreeWay(base, ours, theirs, _changes(merged, before), conflicts, dict(resolutions))


def _unmarked(merged: MergedItem, ours: Item | None, theirs: Item | None) -> MergedItem:
    """One side quarantined an item, and the other has it in use as it will read: the commit judges it anew."""
    item = merged.item
    if item is None or item.status != "quarantined" or not item.lost:
        return merged
    if any(side is not None and side.status == "active" and side.body == item.body for side in (ours, theirs)):
        return MergedItem(replace(item, status="active", lost=()))
    return merged


def _changes(merged: Mapping[str, MergedItem], before: Mapping[str, Item | None]) -> Changes:
    put = tuple(each.item for key, each in merged.items() if each.item is not None and each.item != before[key])
    gone = (key for key, each in merged.items() if each.item is None and before[key] is not None)
    return Changes(put, tuple(gone))


def _crossing(
    base: KnowledgeBase, tree: Tree, ours: tuple[Tree, Commit], theirs: tuple[Tree, Commit], picked: bool
) -> Iterator[CrossConflict]:
    deltas = [tree_diff(tree.root, side.root, _both(tree, side).nodes) for side, _ in (ours, theirs)]
    ours_moved, theirs_moved = (any(delta.item.startswith("schema:") for delta in each) for each in deltas)
    # Most merges change no table, and then only metrics can meet.
    wanted = [
        [delta for delta in each if moved or delta.item.startswith(("metric:", "schema:"))]
        for each, moved in zip(deltas, (theirs_moved, ours_moved), strict=True)
    ]
    schemas = [base.schemas(commit) if ours_moved or theirs_moved else {} for _, commit in (ours, theirs)]
    mine = _side_change("ours", _both(tree, ours[0]), wanted[0], schemas[0])
    other = _side_change("theirs", _both(tree, theirs[0]), wanted[1], schemas[1])
    yield from metrics_defined_twice(mine, other)
    yield from schemas_removed(other, mine)
    if not picked:
        yield from schemas_removed(mine, other)


def _side_change(name: SideName, tree: Tree, deltas: Collection[TreeDelta], schemas: Mapping[str, Item]) -> SideChange:
    hashes = {each for delta in deltas for each in (delta.old, delta.new) if each and each != _DISPUTED}
    items = tree.items(hashes)
    old = {delta.item: items.get(delta.old or "") for delta in deltas}
    return SideChange(name, old, {delta.item: items.get(delta.new or "") for delta in deltas}, schemas)


def _settled_pair(
    conflict: CrossConflict, how: Resolution, merged: Mapping[str, MergedItem], trees: tuple[Tree, Tree, Tree]
) -> dict[str, MergedItem]:
    """Both items as one side has them, or the given one with the other side's change. `both` leaves them merged.

    `trees` are those of the base, ours and theirs.
    """
    if how == "both":
        # What only one side changed is not among the merged: then it is as ours has it.
        return {key: merged.get(key) or MergedItem(_item_at(trees[1], key)) for key in conflict.items}
    if isinstance(how, Item):
        if how.id not in conflict.items or isinstance(how.body, Schema):
            raise InvalidItem(how.id, "id", f"it is given for '{conflict.key}', so its id is {_given(conflict)}")
        settled = {how.id: MergedItem(how)}
        if isinstance(conflict, MetricDefinedTwice):
            (other,) = set(conflict.items) - {how.id}
            settled[other] = MergedItem(None)
        return settled
    side = dict(zip(("base", "ours", "theirs"), trees, strict=True))[how]
    return {key: MergedItem(_item_at(side, key)) for key in conflict.items}


def _item_at(tree: Tree, item_id: str) -> Item | None:
    item_hash = tree_get(tree.root, item_id, tree.node)
    if item_hash == _DISPUTED:
        raise InvalidItem(item_id, "base", _NO_BASE)
    return tree.item(item_hash)


def _given(conflict: CrossConflict) -> str:
    return " or ".join(key for key in conflict.items if not key.startswith("schema:"))


def _both(base: Tree, side: Tree) -> Tree:
    return Tree(base.base, base.root, {**base.made, **side.made})


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
        return self.items({item_hash})[item_hash]

    def items(self, hashes: Collection[str]) -> dict[str, Item]:
        made = {key: unpack(self.base.name, key, "item", self.made[key]) for key in hashes if key in self.made}
        stored = self.base.items_by_hash(key for key in hashes if key not in made)
        return {**stored, **{key: decode_item(data) for key, data in made.items()}}


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
            raise InvalidItem(item_id, "base", _NO_BASE)
        if how == "both":
            raise InvalidItem(item_id, "both", _NOT_BOTH)
        return MergedItem({"base": base, "ours": ours, "theirs": theirs}[how])  # type: ignore[arg-type]
    keys = {key: _split(key)[1] for key in resolutions if _split(key)[0] == item_id}
    fields: dict[str, Side] = {}
    for key, field in keys.items():
        side = resolutions[key]
        if isinstance(side, Item):
            raise InvalidItem(item_id, field, "a whole item cannot stand for one field; resolve the item with it")
        if side == "both":
            raise InvalidItem(item_id, field, _NOT_BOTH)
        fields[field] = side
    unused -= {key for key in keys if key in {conflict.key for conflict in merged.conflicts}}
    return merge_items(item_id, *states, fields)


def _items_of(key: str) -> Iterator[str]:
    """The items that a resolution speaks of: one, or the two of `kind:name/kind:name`."""
    yield from key.split("/") if "/" in key else (_split(key)[0],)


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
