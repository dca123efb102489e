"""What a base has learned at the end: which captured items are right, say what no other says, and are in force."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import combinations

from evals.bench.learning.clues import DIALECT
from evals.bench.learning.world import World
from evals.trial import same_result
from gateway.same_template import same_template
from gateway.verification import verify
from kb.items import Item, Success
from kb.masking import MaskedQuestion
from kb.same_question import same_question
from kb.sql_columns import columns_read, sql_pattern


@dataclass(frozen=True, slots=True)
class Captured:
    """An active success that was captured. `request` is the confirmation that taught it.

    `right`: it gives the rows of the statement that is right for its question now. `in_force`: it runs, and its
    question can still be answered. `twin` is another active item that says the same; `None` where there is none.
    """

    item: str
    request: str
    right: bool
    in_force: bool
    twin: str | None

    @property
    def good(self) -> bool:
        return self.right and self.in_force and self.twin is None


def captured(world: World, right: Mapping[str, str | None]) -> list[Captured]:
    """By id. `right` has the statement that is right now for each question, `None` where there is none."""
    head = world.base.snapshot()
    assistant, tables = world.assistant, world.core.retriever.tables(world.base)
    assert assistant.datasource is not None, "a world has its database"
    learned = {
        key: item
        for key, item in sorted(head.items.items())
        if item.status == "active" and item.provenance is not None and item.provenance.source == "confirmation"
    }
    twins = _twins(world, learned, tables)
    found: list[Captured] = []
    for key, item in learned.items():
        assert isinstance(item.body, Success), "a gotcha that was taught is in use once a curator says so"
        request = item.provenance.request_id if item.provenance else None
        assert request, "what was captured names its request"
        accepted = right[item.body.question]
        runs = verify(assistant.datasource, item.body.answer, tables).passed
        is_right = accepted is not None and same_result(assistant, item.body.answer, accepted).outcome == "right"
        in_force = runs and accepted is not None
        found.append(Captured(key, request, is_right, in_force, twins.get(key)))
    return found


def _twins(world: World, items: Mapping[str, Item], tables: Mapping[str, Collection[str]]) -> dict[str, str]:
    """Of each item that another one says, too, one that does: of the same question with the same result of the same
    columns, or of a question about other values with the same statement but for them.
    """
    masked = world.core.retriever.patterns(world.base)
    values = world.core.retriever.values(world.base)
    alike: dict[frozenset[str], list[tuple[str, str, MaskedQuestion]]] = {}
    for key, item in items.items():
        assert isinstance(item.body, Success), "what was captured is a success"
        reads = columns_read(item.body.answer, DIALECT, tables)
        alike.setdefault(reads, []).append((key, item.body.answer, masked[key]))
    twins: dict[str, str] = {}
    for entries in alike.values():
        for (one, sql, asked), (two, other_sql, known) in combinations(entries, 2):
            if same_question(asked, known):
                same = same_result(world.assistant, sql, other_sql).outcome == "right"
            else:
                template = same_template(asked, known, values)
                same = template and sql_pattern(sql, DIALECT) == sql_pattern(other_sql, DIALECT)
            if same:
                twins.setdefault(one, two)
                twins.setdefault(two, one)
    return twins
