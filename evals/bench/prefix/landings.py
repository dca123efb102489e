"""Knowledge that lands in the middle of a stream: one item a commit, as people who use it would teach it.

In turn: a gotcha about a table that was just asked about, a confirmed answer to what was just asked, and a comment on a
column of such a table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from evals.bench.prefix.assistant_world import StreamWorld
from evals.bench.prefix.request_stream import Request
from gateway.warming import Warming
from kb.items import Entity, Gotcha, Item, Schema, Success, item_id

EVERY = 25
NO_HURRY = 1e9
"""Seconds for warming: what it does must not depend on the machine."""


@dataclass
class Landings:
    """To be called before each request of `stream`. `warming` has each commit warmed as it lands."""

    world: StreamWorld
    stream: Sequence[Request]
    warming: bool
    every: int = EVERY
    seconds: float = NO_HURRY

    def __call__(self, number: int) -> None:
        if number == 0 or number % self.every:
            return
        base = self.world.base
        before = base.head().id
        item = lesson(number // self.every, self.stream[number - 1], base.snapshot().items)
        commit = self.world.learn(item)
        if self.warming:
            Warming(self.world.core).warm(self.world.assistant, commit, had=(before,), seconds=self.seconds)


def lesson(number: int, asked: Request, items: Mapping[str, Item]) -> Item:
    """The item of the landing `number`, about what was just asked."""
    table = items[min(asked.needed)]
    assert isinstance(table.body, Schema), "questions need tables"
    column = table.body.columns[number % len(table.body.columns)]
    match number % 3:
        case 0:
            columns = tuple(
                replace(one, comment=f"as of note {number}") if one is column else one for one in table.body.columns
            )
            return replace(table, body=replace(table.body, columns=columns))
        case 1:
            name = f"{table.body.table}.{column.name}"
            text = f"{name} is kept as it was entered; note {number} says by whom."
            return Item(item_id("gotcha", f"note-{number}"), f"Note {number}", Gotcha(text), entities=(Entity(name),))
        case _:
            body = Success(asked.question, asked.answer)
            return Item(item_id("success", f"confirmed-{number}"), asked.question[:120], body)
