"""A radix tree of block sequences: which beginnings of prompts an engine was given, the least recently given forgotten.

A block is a stretch of text that moves as a whole, known by a label; an edge of the tree is a block, and a node the
beginning that ends there. In the order of last use a node comes after everything below it, since a use touches the last
block of a beginning first. So the oldest node is always a leaf, as with the blocks that vLLM gives up.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

Label = bytes
LOOKED_AT = 2000
"""Most nodes that one search looks at, so that its time is bounded whatever the tree holds."""


class _Node:
    __slots__ = ("children", "label", "parent")

    def __init__(self, label: Label, parent: _Node | None) -> None:
        self.label, self.parent = label, parent
        self.children: dict[Label, _Node] = {}


class BlockTree:
    """At most `limit` blocks; each counts once for every beginning that it ends. Not for several threads at a time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._root = _Node(b"", None)
        self._by_use: OrderedDict[_Node, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_use)

    def add(self, path: Iterable[Label]) -> None:
        """Of a path that is longer than the limit, the beginning is kept."""
        node, used = self._root, []
        for label in path:
            if label not in node.children:
                node.children[label] = _Node(label, node)
            node = node.children[label]
            used.append(node)
        for node in reversed(used):
            self._by_use[node] = None
            self._by_use.move_to_end(node)
        while len(self._by_use) > self._limit:
            oldest, _ = self._by_use.popitem(last=False)
            assert oldest.parent is not None, "the root is not in the order of use"
            assert not oldest.children, "what is below a node was used before it"
            del oldest.parent.children[oldest.label]

    def longest(self, begins: Iterable[Label], groups: Sequence[Mapping[Label, int]]) -> tuple[Label, ...]:
        """The path below `begins` of the most characters that takes blocks of the first group, once that has none left
        those of the next, and so on. A group maps its blocks to their characters, in the order that decides a tie, and
        what of very much is looked at first.
        """
        node: _Node | None = self._root
        for label in begins:
            node = node.children.get(label) if node is not None else None
        if node is None:
            return ()
        best: tuple[Label, ...] = ()
        most = 0
        waiting: list[tuple[_Node, tuple[Label, ...], int]] = [(node, (), 0)]
        looked_at = 0
        while waiting and looked_at < LOOKED_AT:
            node, path, characters = waiting.pop()
            looked_at += 1
            if characters > most:
                best, most = path, characters
            for label, length in reversed(_next(groups, path)):
                if (child := node.children.get(label)) is not None:
                    waiting.append((child, (*path, label), characters + length))
        return best

    def paths(self) -> frozenset[tuple[Label, ...]]:
        """Every beginning that is remembered."""
        return frozenset(_path(node) for node in self._by_use)


def _next(groups: Sequence[Mapping[Label, int]], path: Sequence[Label]) -> list[tuple[Label, int]]:
    """What may come behind `path`: what is left of the first group that it has not used up."""
    taken = 0
    for group in groups:
        if len(path) < taken + len(group):
            used = path[taken:]
            return [(label, length) for label, length in group.items() if label not in used]
        taken += len(group)
    return []


def _path(node: _Node) -> tuple[Label, ...]:
    labels: list[Label] = []
    while node.parent is not None:
        labels.append(node.label)
        node = node.parent
    return tuple(reversed(labels))
