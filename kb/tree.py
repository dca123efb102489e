"""The fan-out tree: item id → item hash, in nodes that commits share.

A node is a leaf while it holds at most `LEAF_MAX` entries, else it has 16 children, by the next nibble of the hash
of the item's id. So the shape depends on the set of entries alone, never on the order of changes: equal states have
equal roots, a commit of one item rewrites one path, and a diff skips every subtree whose hash is equal.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kb.codec import canonical_json
from kb.objects import pack

LEAF_MAX = 32

Entries = Mapping[str, str]
Reader = Callable[[str], bytes]
"""Gives the content (untagged bytes) of a tree object."""
ReadMany = Callable[[Collection[str]], Mapping[str, bytes]]
"""The same of several at once, by node."""
Pair = tuple[str | None, str | None]
"""Two nodes at one place; `None` is absent."""


@dataclass(frozen=True, slots=True)
class Child:
    node: str
    count: int


@dataclass(frozen=True, slots=True)
class TreeDelta:
    """How two trees differ at one item; `None` is absent."""

    item: str
    old: str | None
    new: str | None


class TreeWriter:
    """Builds new roots; `written` collects the objects that the store does not have yet."""

    def __init__(self, read: Reader) -> None:
        self._read = read
        self.written: dict[str, bytes] = {}

    def build(self, entries: Entries) -> str:
        return self._build(dict(entries), 0).node

    def update(self, root: str, changes: Mapping[str, str | None]) -> str:
        """The root after `changes` (item id → new hash, `None` removes)."""
        return self._update(root, dict(changes), 0).node

    def _build(self, entries: dict[str, str], depth: int) -> Child:
        if len(entries) <= LEAF_MAX:
            return self._store({"entries": entries}, len(entries))
        groups: dict[int, dict[str, str]] = {}
        for item, value in entries.items():
            groups.setdefault(_nibble(item, depth), {})[item] = value
        return self._branch({slot: self._build(group, depth + 1) for slot, group in groups.items()})

    def _update(self, node: str, changes: dict[str, str | None], depth: int) -> Child:
        content = json.loads(self._node(node))
        if "entries" in content:
            return self._build(_applied(content["entries"], changes), depth)
        children = {int(slot): Child(*pair) for slot, pair in content["children"].items()}
        groups: dict[int, dict[str, str | None]] = {}
        for item, value in changes.items():
            groups.setdefault(_nibble(item, depth), {})[item] = value
        for slot, group in groups.items():
            if slot in children:
                children[slot] = self._update(children[slot].node, group, depth + 1)
            else:
                children[slot] = self._build(_applied({}, group), depth + 1)
        children = {slot: child for slot, child in children.items() if child.count}
        if sum(child.count for child in children.values()) <= LEAF_MAX:
            entries: dict[str, str] = {}
            for child in children.values():
                entries.update(tree_entries(child.node, self._node))
            return self._build(entries, depth)
        return self._branch(children)

    def _branch(self, children: dict[int, Child]) -> Child:
        count = sum(child.count for child in children.values())
        return self._store({"children": {str(s): [c.node, c.count] for s, c in children.items()}}, count)

    def _store(self, content: object, count: int) -> Child:
        node, data = pack("tree", canonical_json(content))
        self.written[node] = data
        return Child(node, count)

    def _node(self, node: str) -> bytes:
        data = self.written.get(node)
        return data.partition(b"\n")[2] if data is not None else self._read(node)


def tree_entries(root: str, read: Reader) -> dict[str, str]:
    """All entries below `root`."""
    content = json.loads(read(root))
    if "entries" in content:
        return dict(content["entries"])
    entries: dict[str, str] = {}
    for node, _ in content["children"].values():
        entries.update(tree_entries(node, read))
    return entries


def all_entries(root: str, read: ReadMany) -> dict[str, str]:
    """The same, a level of the tree at a time."""
    entries: dict[str, str] = {}
    level = [root]
    while level:
        contents = [json.loads(data) for data in read(level).values()]
        level = [node for content in contents for node, _ in content.get("children", {}).values()]
        for content in contents:
            entries.update(content.get("entries", {}))
    return entries


def tree_get(root: str, item: str, read: Reader) -> str | None:
    """The hash stored for one item, reading one path only."""
    depth = 0
    while True:
        content = json.loads(read(root))
        if "entries" in content:
            value: str | None = content["entries"].get(item)
            return value
        child = content["children"].get(str(_nibble(item, depth)))
        if child is None:
            return None
        root, depth = child[0], depth + 1


def tree_diff(old: str | None, new: str | None, read: ReadMany) -> list[TreeDelta]:
    """The entries that differ, by item id; `None` is a tree of nothing.

    Reads only nodes whose hashes differ, a level of the tree at a time.
    """
    deltas: list[TreeDelta] = []
    pairs: list[Pair] = [(old, new)]
    while pairs := [pair for pair in pairs if pair[0] != pair[1]]:
        contents = {node: json.loads(data) for node, data in read({n for pair in pairs for n in pair if n}).items()}
        deeper: list[Pair] = []
        for left, right in pairs:
            before, after = (contents[node] if node else {"entries": {}} for node in (left, right))
            if "children" in before and "children" in after:
                deeper += _children(before["children"], after["children"])
            else:
                deltas += _changed(_below(before, read), _below(after, read))
        pairs = deeper
    return sorted(deltas, key=lambda delta: delta.item)


def _children(before: Mapping[str, list[str]], after: Mapping[str, list[str]]) -> Iterator[Pair]:
    for slot in sorted(before.keys() | after.keys()):
        left, right = before.get(slot), after.get(slot)
        yield left[0] if left else None, right[0] if right else None


def _below(content: Mapping[str, Any], read: ReadMany) -> Entries:
    """All entries of a node, however deep."""
    if "entries" in content:
        entries: Entries = content["entries"]
        return entries
    inner = read([node for node, _ in content["children"].values()])
    return {item: value for data in inner.values() for item, value in _below(json.loads(data), read).items()}


def _changed(before: Entries, after: Entries) -> Iterator[TreeDelta]:
    for item in before.keys() | after.keys():
        if before.get(item) != after.get(item):
            yield TreeDelta(item, before.get(item), after.get(item))


def _applied(entries: dict[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    merged: dict[str, str | None] = {**entries, **changes}
    return {item: value for item, value in merged.items() if value is not None}


def _nibble(item: str, depth: int) -> int:
    return int(hashlib.sha256(item.encode()).hexdigest()[depth], 16)
