"""The prompts that one engine got last, as a tree of their stretches: what an unlimited prefix cache would hold."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TypeVar

from gateway.cache_report.served import Served, Turn

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Match:
    """The longest beginning that a recent prompt has as well: so many stretches, and the last request with them."""

    stretches: int
    recent: Served


@dataclass(slots=True)
class _Node:
    last: Served
    uses: int = 0
    children: dict[str, _Node] = field(default_factory=dict)


class RecentPrompts:
    """The last `limit` prompts; older ones are forgotten."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._order: deque[Served] = deque()
        self._beginnings: dict[str, _Node] = {}
        self._conversations: dict[str, Served] = {}
        self._turns: dict[Turn, Served] = {}
        self._assistants: dict[str, Served] = {}

    def longest(self, served: Served) -> Match | None:
        """`None` where no recent prompt begins alike."""
        children, match = self._beginnings, None
        for number, stretch in enumerate(served.stretches, start=1):
            node = children.get(stretch.text)
            if node is None:
                break
            children, match = node.children, Match(number, node.last)
        return match

    def last_of(self, assistant: str) -> Served | None:
        return self._assistants.get(assistant)

    def cut_from(self, served: Served) -> Served | None:
        """The request whose conversation this one goes on with, though not with all of its messages."""
        if served.history is None or served.last_turn is None or served.history in self._conversations:
            return None
        return self._turns.get(served.last_turn)

    def add(self, served: Served) -> None:
        children = self._beginnings
        for stretch in served.stretches:
            node = children.setdefault(stretch.text, _Node(served))
            node.last, node.uses = served, node.uses + 1
            children = node.children
        self._conversations[served.conversation] = served
        self._turns[served.turn] = served
        self._assistants[served.assistant] = served
        self._order.append(served)
        if len(self._order) > self._limit:
            self._forget(self._order.popleft())

    def _forget(self, oldest: Served) -> None:
        children = self._beginnings
        for stretch in oldest.stretches:
            node = children[stretch.text]
            node.uses -= 1
            if not node.uses:
                del children[stretch.text]  # and all below it, which no other prompt has
                break
            children = node.children
        _drop(self._conversations, oldest.conversation, oldest)
        _drop(self._turns, oldest.turn, oldest)
        _drop(self._assistants, oldest.assistant, oldest)


def _drop(index: dict[K, Served], key: K, oldest: Served) -> None:
    if index.get(key) is oldest:
        del index[key]
