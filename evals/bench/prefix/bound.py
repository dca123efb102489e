"""How much an unlimited prefix cache could reuse of single questions, if each prompt's items stood in the best order.

What a prefix cache gives of a prompt is the beginning that the prompt has in common with *one* earlier prompt, in whole
blocks. Two prompts of any order have at most these tokens in common at their beginning: what stands before the items;
each item that both have; and, of the first place where they differ, the longest beginning that an item of only one
shares with an item of only the other. Where both have the same items, the questions' common beginning comes instead.
The bound is the best of that over all earlier prompts. It is one for any way of ordering, also across layers and one
that orders each prompt with knowledge of all others. No way need reach it, since it lets an earlier prompt stand in
another order for each one that comes after.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product


@dataclass(frozen=True, slots=True)
class Pieces:
    """A prompt's tokens: what stands before its items, each item's by its text's hash, and what follows."""

    head: tuple[int, ...]
    items: Mapping[str, tuple[int, ...]]
    tail: tuple[int, ...]

    @property
    def tokens(self) -> int:
        return len(self.head) + sum(map(len, self.items.values())) + len(self.tail)


def best_order_hits(prompts: Sequence[Pieces], block_tokens: int) -> list[int]:
    """For each prompt of a stream, the most tokens that any order of the items could have reused."""
    earlier: dict[tuple[frozenset[str], tuple[int, ...]], Pieces] = {}
    hits: list[int] = []
    for prompt in prompts:
        most = max((common_tokens(prompt, other) for other in earlier.values()), default=0)
        hits.append(min(most, prompt.tokens - 1) // block_tokens * block_tokens)
        earlier.setdefault((frozenset(prompt.items), prompt.tail), prompt)
    return hits


def common_tokens(one: Pieces, other: Pieces) -> int:
    """The most that two prompts can have in common at their beginning."""
    if one.head != other.head:
        return _common(one.head, other.head)
    shared = one.items.keys() & other.items.keys()
    whole = len(one.head) + sum(len(one.items[name]) for name in shared)
    left, right = one.items.keys() - shared, other.items.keys() - shared
    if not left and not right:
        return whole + _common(one.tail, other.tail)
    ends = product(
        [one.items[name] for name in left] or [one.tail], [other.items[name] for name in right] or [other.tail]
    )
    return whole + max(_common(*pair) for pair in ends)


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    length = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        length += 1
    return length
