"""Several independent questions on one context, as turns of one conversation.

An answer is a few dozen tokens under a context of many hundred, so a forward pass over one question teaches little.
Here the items of the first turn stand in the system message, as the gateway places them, and each turn is one more
answer that the same context decides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from backend.mini.database import DatabaseSpec, TableSpec
from backend.mini.naming import invented_word
from backend.mini.phrasing import Phrasing
from backend.mini.query import Filter, Query, Ref
from backend.mini.sample import Sample, many_turns
from backend.mini.schema_items import context_items
from backend.mini.skills import Skills, pattern_of, refs_of, with_column
from kb.items import Item

Turn = tuple[str, str]
"""A question and its SQL."""
Swap = tuple[Ref, Ref]
"""The column that a question speaks of, and the one that a gotcha says to use."""


def part_of(spec: DatabaseSpec, random: Random, max_tables: int) -> DatabaseSpec:
    """Up to `max_tables` tables of the database, grown along its links where there are any."""
    chosen = {random.choice(spec.tables).name}
    for _ in range(random.randint(1, max_tables) - 1):
        pairs = [{link.child, link.parent} for link in spec.links]
        near = sorted(set().union(*(pair - chosen for pair in pairs if pair & chosen)))
        others = sorted({table.name for table in spec.tables} - chosen)
        if not others:
            break
        chosen.add(random.choice(near if near and random.random() < 0.7 else others))
    tables = tuple(table for table in spec.tables if table.name in chosen)
    return DatabaseSpec(tables, tuple(link for link in spec.links if {link.child, link.parent} <= chosen))


@dataclass(frozen=True, slots=True)
class Dialogues:
    """Makes conversations on one filled database, or on a part of it; `turns` is the most that one has."""

    skills: Skills
    turns: int

    def mixed(self) -> Sample | None:
        """Questions, gotchas, metrics and follow-ups. A gotcha holds for each question that speaks of its column."""
        skills, random = self.skills, self._random
        metrics = self._metrics(random.choice((0, 1, 1, 2, 3)))
        taken = {(condition.ref.table.name, condition.ref.column.name) for _, condition in metrics}
        swaps = self._swaps(random.choice((0, 1, 1, 2, 3)), taken)
        items = context_items(skills.spec, {table.name for table in skills.spec.tables})
        items += [skills.metric_item(word, condition) for word, condition in metrics]
        items += [skills.gotcha_item(wrong, right) for wrong, right in swaps]
        turns: list[Turn] = []
        last: Query | None = None
        for _ in range(3 * self.turns):
            if len(turns) == self.turns:
                break
            turn: tuple[Turn, Query | None] | None
            if metrics and random.random() < 0.3:
                turn = self._metric_turn(*random.choice(metrics), swaps)
            elif last is not None and last.filters and random.random() < 0.3:
                turn = self._follow_up(last, swaps)
            else:
                turn = self._question(swaps)
            if turn is not None:
                turns.append(turn[0])
                last = turn[1]
        return self._sample(items, turns)

    def successes(self) -> Sample | None:
        """Confirmed answers, some under a convention that no question mentions; each turn varies one of them."""
        skills, random = self.skills, self._random
        shown: dict[tuple[str, str], tuple[Query, Filter | None]] = {}
        for _ in range(random.randint(1, 6)):
            query = skills.maker.make()
            if query is not None:
                convention = skills.convention(query, query) if random.random() < 0.7 else None
                shown.setdefault((query.table.name, pattern_of(query)), (query, convention))
        items = context_items(skills.spec, {table.name for table in skills.spec.tables})
        items += [skills.success_item(skills.say(query), _under(query, held)) for query, held in shown.values()]
        turns: list[Turn] = []
        for _ in range(3 * self.turns if shown else 0):
            query, convention = random.choice(list(shown.values()))
            asked = skills.varied(query)
            speaks = {ref.column.name for ref in refs_of(asked)}
            clear = convention is None or convention.ref.column.name not in speaks
            if len(turns) < self.turns and clear and asked != query and skills.maker.answers(_under(asked, convention)):
                turns.append((skills.say(asked), skills.maker.sql(_under(asked, convention))))
        return self._sample(items, turns)

    # ── turns ────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _random(self) -> Random:
        return self.skills.random

    def _question(self, swaps: list[Swap]) -> tuple[Turn, Query] | None:
        """Where there are gotchas, half the questions speak of the column of one."""
        maker = self.skills.maker
        wanted = bool(swaps) and self._random.random() < 0.5
        query = maker.make()
        for _ in range(8):
            if not wanted or query is None or any(wrong in refs_of(query) for wrong, _ in swaps):
                break
            query = maker.make()
        if query is None:
            return None
        return self._turn(self.skills.say(query), query, swaps)

    def _metric_turn(self, word: str, condition: Filter, swaps: list[Swap]) -> tuple[Turn, None] | None:
        table: TableSpec = condition.ref.table
        query = Query(table, self.skills.maker.measure(table), filters=(condition,))
        turn = self._turn(Phrasing(self._random).about(f"{word} {table.thing.plural}", query), query, swaps)
        return None if turn is None else (turn[0], None)

    def _follow_up(self, last: Query, swaps: list[Swap]) -> tuple[Turn, Query] | None:
        other = self.skills.other_value(last.filters[-1])
        after = replace(last, filters=(*last.filters[:-1], other))
        return None if after == last else self._turn(Phrasing(self._random).instead(other), after, swaps)

    def _turn(self, question: str, query: Query, swaps: list[Swap]) -> tuple[Turn, Query] | None:
        meant = query
        for wrong, right in swaps:
            meant = with_column(meant, wrong, right)
        if not self.skills.maker.answers(meant):
            return None
        return (question, self.skills.maker.sql(meant)), query

    # ── what the context says ────────────────────────────────────────────────────────────────────────────────

    def _metrics(self, count: int) -> list[tuple[str, Filter]]:
        made: dict[str, Filter] = {}
        for _ in range(count):
            condition = self.skills.maker.filter(self._random.choice(self.skills.spec.tables))
            if condition is not None:
                made[invented_word(self._random)] = condition
        return list(made.items())

    def _swaps(self, count: int, taken: set[tuple[str, str]]) -> list[Swap]:
        """No column stands in two gotchas, nor in a metric and a gotcha."""
        made: list[Swap] = []
        for _ in range(count):
            query = self.skills.maker.make()
            swap = self.skills.swap(query) if query is not None else None
            names = {(ref.table.name, ref.column.name) for ref in swap} if swap is not None else set()
            if swap is not None and not names & taken:
                taken |= names
                made.append(swap)
        return made

    def _sample(self, items: list[Item], turns: list[Turn]) -> Sample | None:
        return many_turns("conversation", f"{len(turns)} turns", items, turns) if turns else None


def _under(query: Query, convention: Filter | None) -> Query:
    return query if convention is None else replace(query, filters=(*query.filters, convention))
