"""The planner: within a layer, items stand along the longest beginning that prompts before have had.

Of one engine and one cache salt, so that nobody's order depends on what another tenant asked. It knows texts by their
hashes alone. It may permute what one question retrieved of a layer in which order says nothing: what always applies
stays where it is, since every prompt begins with it, and preferences, which are of one user. Assembly takes the order
from the placements, like everything else, so a conversation keeps it; replays never ask a planner.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import blake2b

from backend.engine import Message
from gateway.block_tree import BlockTree, Label
from gateway.item_text import item_text
from gateway.placements import Placed
from gateway.prompt import GAP, Layer, Part, head, layer_of, standing
from kb.items import Item

PLANNED: tuple[Layer, ...] = ("schemas", "metrics", "gotchas", "successes")
_REMEMBERED: tuple[Layer, ...] = ("instructions", "always", *PLANNED)


class Planner:
    """Remembers at most `blocks`. For any threads."""

    def __init__(self, blocks: int) -> None:
        self._tree, self._lock = BlockTree(blocks), threading.Lock()

    def __len__(self) -> int:
        return len(self._tree)

    def planned(self, instructions: str, placed: Sequence[Placed]) -> tuple[Placed, ...]:
        """The same items, with a place where the longest path has them in another order than the canonical one.

        What the path does not reach stands behind it in canonical order.
        """
        ordered = sorted(placed, key=standing)
        layers = {layer: [one for one in ordered if layer_of(one.item) == layer] for layer in PLANNED}
        begins = [_label(head(instructions)), *(_of(one.item) for one in ordered if layer_of(one.item) == "always")]
        groups = [{_of(one.item): len(item_text(one.item)) for one in layer} for layer in layers.values()]
        with self._lock:
            path = self._tree.longest(begins, groups)
        places = {label: number for number, label in enumerate(path)}
        for name, layer in layers.items():
            along = sorted(layer, key=lambda one: places.get(_of(one.item), len(places)))
            if along != layer:
                layers[name] = [replace(one, place=number) for number, one in enumerate(along, start=1)]
        others = [one for one in ordered if layer_of(one.item) not in PLANNED]
        return tuple(sorted([*others, *(one for layer in layers.values() for one in layer)], key=standing))

    def served(self, path: Iterable[Label]) -> None:
        """Remember the `blocks_of` a prompt that the engine was given."""
        with self._lock:
            self._tree.add(path)

    def paths(self) -> frozenset[tuple[Label, ...]]:
        """Every beginning that is remembered."""
        with self._lock:
            return self._tree.paths()


def blocks_of(messages: Sequence[Message], parts: Sequence[Part]) -> tuple[Label, ...]:
    """What a prompt, or the prompt of a trace, begins with: up to what is of one user or one client."""
    system, start = messages[0]["content"], 0
    labels: list[Label] = []
    for part in parts:
        if part.message or part.layer not in _REMEMBERED:
            break
        labels.append(_label(system[start : start + part.characters].removeprefix(GAP)))
        start += part.characters
    return tuple(labels)


def _of(item: Item) -> Label:
    return _label(item_text(item))


def _label(text: str) -> Label:
    return blake2b(text.encode(), digest_size=16).digest()
