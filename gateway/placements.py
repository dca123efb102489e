"""What a conversation has placed in its prompts, and where: the part of a prompt that later turns must not change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from kb.items import Item

Entry = TypeVar("Entry")
Other = TypeVar("Other")


@dataclass(frozen=True, slots=True)
class Placed:
    """An item with its content hash, and its reach at the commit at which it was placed, in thousandths.

    `place` is where a planner put it among those of its layer, counted from 1; 0 is its place by reach and id.
    """

    item: Item
    item_hash: str
    reach: int = 0
    place: int = 0


class Reference(NamedTuple):
    """A `Placed` as it is stored: the item is found by its hash."""

    item_id: str
    item_hash: str
    reach: int = 0
    place: int = 0


@dataclass(frozen=True, slots=True)
class Placements(Generic[Entry]):
    """`system` stands in the system message, `turns[n]` in front of the conversation's user message `n`.

    What a conversation's first turn placed is in `system`, also when its message is no longer sent.
    """

    system: tuple[Entry, ...] = ()
    turns: tuple[tuple[Entry, ...], ...] = ((),)

    @classmethod
    def by_turn(cls, turns: Sequence[Sequence[Entry]]) -> Placements[Entry]:
        """Of a whole conversation: what each of its turns placed."""
        first, *later = turns
        return cls(tuple(first), ((), *(tuple(turn) for turn in later)))

    def __iter__(self) -> Iterator[Entry]:
        """In the order in which they were placed."""
        yield from self.system
        for turn in self.turns:
            yield from turn

    def map(self, convert: Callable[[Entry], Other]) -> Placements[Other]:
        turns = tuple(tuple(convert(entry) for entry in turn) for turn in self.turns)
        return Placements(tuple(convert(entry) for entry in self.system), turns)


References = Placements[Reference]


def reference(placed: Placed) -> Reference:
    return Reference(placed.item.id, placed.item_hash, placed.reach, placed.place)
