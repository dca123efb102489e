from __future__ import annotations

import random
from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kb.objects import unpack
from kb.tree import LEAF_MAX, TreeDelta, TreeWriter, all_entries, tree_diff, tree_entries, tree_get

keys = st.integers(0, 200).map(lambda number: f"rule:{number}")
values = st.sampled_from(["a" * 64, "b" * 64, "c" * 64])
states = st.dictionaries(keys, values, max_size=120)


class Shelf:
    """Keeps tree objects, and counts what is read."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.reads = 0

    def read(self, node: str) -> bytes:
        self.reads += 1
        return unpack("base", node, "tree", self.objects[node])

    def read_many(self, nodes: Collection[str]) -> dict[str, bytes]:
        return {node: self.read(node) for node in nodes}

    def build(self, entries: dict[str, str]) -> str:
        writer = TreeWriter(self.read)
        root = writer.build(entries)
        self.objects.update(writer.written)
        return root

    def update(self, root: str, changes: dict[str, str | None]) -> tuple[str, dict[str, bytes]]:
        writer = TreeWriter(self.read)
        new = writer.update(root, changes)
        added = {node: data for node, data in writer.written.items() if node not in self.objects}
        self.objects.update(added)
        return new, added


def many(count: int) -> dict[str, str]:
    return {f"rule:{number}": f"{number:064x}" for number in range(count)}


@given(states, st.randoms(use_true_random=False))
def test_the_shape_depends_on_the_entries_and_not_on_their_order(entries: dict[str, str], order: random.Random) -> None:
    shelf = Shelf()
    shuffled = list(entries.items())
    order.shuffle(shuffled)
    root = shelf.build({})
    for item, value in shuffled:
        root, _ = shelf.update(root, {item: value})
    assert root == shelf.build(entries) == shelf.build(dict(shuffled))


@given(states, st.dictionaries(keys, st.none() | values, max_size=120))
def test_an_update_gives_the_root_that_building_gives(entries: dict[str, str], changes: dict[str, str | None]) -> None:
    shelf = Shelf()
    expected = {item: value for item, value in {**entries, **changes}.items() if value is not None}
    root, _ = shelf.update(shelf.build(entries), changes)
    assert root == shelf.build(expected)
    assert tree_entries(root, shelf.read) == all_entries(root, shelf.read_many) == expected


@given(states, states)
def test_a_diff_of_trees_is_the_diff_of_their_entries(old: dict[str, str], new: dict[str, str]) -> None:
    shelf = Shelf()
    expected = [
        TreeDelta(item, old.get(item), new.get(item))
        for item in sorted(old.keys() | new.keys())
        if old.get(item) != new.get(item)
    ]
    assert tree_diff(shelf.build(old), shelf.build(new), shelf.read_many) == expected


@given(states, keys)
def test_one_item_is_found_without_reading_the_others(entries: dict[str, str], item: str) -> None:
    shelf = Shelf()
    assert tree_get(shelf.build(entries), item, shelf.read) == entries.get(item)


@pytest.mark.parametrize("count", [0, 1, LEAF_MAX, LEAF_MAX + 1])
def test_a_tree_at_the_edge_of_a_leaf_keeps_its_entries(count: int) -> None:
    shelf = Shelf()
    root = shelf.build(many(count))
    assert tree_entries(root, shelf.read) == all_entries(root, shelf.read_many) == many(count)
    assert len(shelf.objects) == 1 or count > LEAF_MAX


def test_changing_one_of_five_thousand_items_writes_and_reads_a_handful_of_nodes() -> None:
    shelf = Shelf()
    root = shelf.build(many(5000))
    for item, value in [("rule:17", "f" * 64), ("rule:new", "e" * 64), ("rule:4999", None)]:
        shelf.reads = 0
        changed, added = shelf.update(root, {item: value})
        assert len(added) <= 5
        assert shelf.reads <= 5
        shelf.reads = 0
        assert [delta.item for delta in tree_diff(root, changed, shelf.read_many)] == [item]
        assert shelf.reads <= 12
        shelf.reads = 0
        assert tree_get(changed, item, shelf.read) == value
        assert shelf.reads <= 4


def test_removing_everything_gives_the_empty_tree() -> None:
    shelf = Shelf()
    root, _ = shelf.update(shelf.build(many(500)), dict.fromkeys(many(500)))
    assert root == shelf.build({})


def test_removing_what_is_not_there_changes_nothing() -> None:
    shelf = Shelf()
    root = shelf.build(many(100))
    assert shelf.update(root, {"rule:absent": None})[0] == root
    assert shelf.update(root, {})[0] == root
