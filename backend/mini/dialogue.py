"""Several independent questions on one context, as turns of one conversation.

An answer is a few dozen tokens under a context of many hundred, so a forward pass over one question teaches little.
Here the items of the first turn stand in the system message, as the gateway places them, and each turn is one more
answer that the same context decides.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from backend.mini.changed_query import in_unit, under, with_column
from backend.mini.counterpart import counterpart
from backend.mini.database import DatabaseSpec, TableSpec
from backend.mini.naming import invented_word
from backend.mini.notes import Notes
from backend.mini.phrasing import Phrasing
from backend.mini.query import Filter, Query, Ref, pattern_of, refs_of
from backend.mini.sample import Sample, many_turns
from backend.mini.schema_items import context_items
from backend.mini.skills import UNITS, Named, Skills
from backend.mini.sql_writer import Hand
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
    links = tuple(link for link in spec.links if {link.child, link.parent} <= chosen)
    return DatabaseSpec(tables, links, spec.sampled)


@dataclass(slots=True)
class Knowledge:
    """What one conversation's context says besides the schema, and the items that say it."""

    items: list[Item] = field(default_factory=list)
    words: list[tuple[str, Filter]] = field(default_factory=list)
    """An adjective and the condition that it stands for."""
    figures: list[Named] = field(default_factory=list)
    swaps: list[Swap] = field(default_factory=list)
    units: list[tuple[Ref, int]] = field(default_factory=list)
    rules: list[Filter] = field(default_factory=list)

    def applied(self, query: Query) -> Query:
        """What the query means under gotchas, units and rules."""
        for wrong, right in self.swaps:
            query = with_column(query, wrong, right)
        for ref, divisor in self.units:
            query = in_unit(query, ref, divisor)
        for rule in self.rules:
            if rule.ref.table == query.table and rule.ref not in refs_of(query):
                query = under(query, rule)
        return query


@dataclass(frozen=True, slots=True)
class Dialogues:
    """Makes conversations on one filled database, or on a part of it; `turns` is the most that one has."""

    skills: Skills
    turns: int

    def mixed(self) -> Sample | None:
        """Questions, gotchas, rules, metrics and follow-ups. What the context says holds for each question."""
        skills, random = self.skills, self._random
        knowledge = self._knowledge()
        items = context_items(skills.spec, {table.name for table in skills.spec.tables})
        items += knowledge.items
        turns: list[Turn] = []
        last: Query | None = None
        for _ in range(3 * self.turns):
            if len(turns) == self.turns:
                break
            turn: tuple[Turn, Query | None] | None
            drawn = random.random()
            if knowledge.words and drawn < 0.2:
                turn = self._metric_turn(*random.choice(knowledge.words), knowledge)
            elif knowledge.figures and drawn < 0.4:
                turn = self._figure_turn(random.choice(knowledge.figures), knowledge)
            elif last is not None and drawn > 0.7:
                turn = self._follow_up(last, knowledge)
            else:
                turn = self._question(knowledge)
            if turn is not None:
                turns.append(turn[0])
                last = turn[1]
        return self._sample(items, turns)

    def successes(self) -> Sample | None:
        """Confirmed answers in one hand, some under a convention that no question mentions; each turn varies one."""
        skills, random = self.skills, self._random
        hand = skills.hand()
        shown: dict[str, tuple[Query, Filter | None]] = {}
        for _ in range(random.randint(1, 6)):
            query = skills.maker.make()
            if query is not None:
                convention = skills.convention(query) if random.random() < 0.7 else None
                shown.setdefault(pattern_of(query), (query, convention))
        items = context_items(skills.spec, {table.name for table in skills.spec.tables})
        items += [skills.success_item(skills.say(query), under(query, held), hand) for query, held in shown.values()]
        turns: list[Turn] = []
        for _ in range(3 * self.turns if shown else 0):
            turn = self._success_turn(*random.choice(list(shown.values())), hand)
            if turn is not None and len(turns) < self.turns:
                turns.append(turn)
        return self._sample(items, turns)

    # ── turns ────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _random(self) -> Random:
        return self.skills.random

    def _success_turn(self, query: Query, convention: Filter | None, hand: Hand) -> Turn | None:
        skills = self.skills
        asked = counterpart(skills.maker, query) if self._random.random() < 0.4 else skills.varied(query)
        if asked is None or asked == query:
            return None
        if convention is not None:
            convention = skills.carried(convention, asked)
            if convention is None:
                return None
        answer = under(asked, convention)
        if not skills.maker.wanted(asked, answer) or not skills.maker.answers(answer):
            return None
        return skills.say(asked), skills.maker.sql(answer, hand)

    def _question(self, knowledge: Knowledge) -> tuple[Turn, Query] | None:
        """Where there are gotchas, half the questions speak of the column of one."""
        maker, swaps = self.skills.maker, knowledge.swaps
        wanted = bool(swaps) and self._random.random() < 0.5
        query = maker.make()
        for _ in range(8):
            if not wanted or query is None or any(wrong in refs_of(query) for wrong, _ in swaps):
                break
            query = maker.make()
        if query is None:
            return None
        return self._turn(self.skills.say(query), query, knowledge)

    def _metric_turn(self, word: str, condition: Filter, knowledge: Knowledge) -> tuple[Turn, None] | None:
        table: TableSpec = condition.ref.table
        query = Query(table, self.skills.maker.measure(table), filters=(condition,))
        if not self.skills.maker.wanted(query):
            return None
        turn = self._turn(Phrasing(self._random).about(f"{word} {table.thing.plural}", query), query, knowledge)
        return None if turn is None else (turn[0], None)

    def _figure_turn(self, named: Named, knowledge: Knowledge) -> tuple[Turn, None] | None:
        """The figure as it is, for a condition, or by group."""
        table, maker = named.query.table, self.skills.maker
        asked = maker.filter(table) if self._random.random() < 0.4 else None
        group = maker.group(table, ()) if self._random.random() < 0.35 else None
        refs = [ref for ref in (asked and asked.ref, group, named.condition and named.condition.ref) if ref]
        query = Query(table, named.measure, filters=(asked,) if asked else (), group=group)
        answer = under(query, named.condition)
        if len(set(refs)) < len(refs) or not maker.wanted(answer):
            return None
        turn = self._turn(Phrasing(self._random).named(named.word, query), answer, knowledge)
        return None if turn is None else (turn[0], None)

    def _follow_up(self, last: Query, knowledge: Knowledge) -> tuple[Turn, Query] | None:
        followed = self.skills.following(last)
        return self._turn(*followed, knowledge) if followed is not None else None

    def _turn(self, question: str, query: Query, knowledge: Knowledge) -> tuple[Turn, Query] | None:
        meant = knowledge.applied(query)
        if not self.skills.maker.wanted(query, meant) or not self.skills.maker.answers(meant):
            return None
        return (question, self.skills.maker.sql(meant)), query

    # ── what the context says ────────────────────────────────────────────────────────────────────────────────

    def _knowledge(self) -> Knowledge:
        """Some metrics, gotchas, units and rules. No column stands in two of them."""
        skills, random = self.skills, self._random
        made = Knowledge()
        taken: set[Ref] = set()

        def take(*refs: Ref | None) -> bool:
            given = {ref for ref in refs if ref is not None}
            if given & taken:
                return False
            taken.update(given)
            return True

        for _ in range(random.choice((0, 1, 1, 2))):
            condition = skills.maker.filter(random.choice(skills.spec.tables))
            if condition is not None and take(condition.ref):
                made.words.append((invented_word(random), condition))
                made.items.append(skills.metric_item(*made.words[-1]))
        for _ in range(random.choice((0, 1, 1, 2))):
            named = skills.named()
            if named is not None and take(named.measure.ref, named.condition.ref if named.condition else None):
                made.figures.append(named)
                made.items.append(skills.named_item(named))
        for _ in range(random.choice((0, 1, 1, 2, 3))):
            query = skills.maker.make()
            swap = skills.swap(query) if query is not None else None
            if swap is not None and take(*swap):
                made.swaps.append(swap)
                made.items.append(skills.gotcha_item(*swap))
        if random.random() < 0.25:
            measure = skills.maker.measure(random.choice(skills.spec.tables))
            if measure.ref is not None and take(measure.ref):
                divisor, unit = random.choice(UNITS)
                made.units.append((measure.ref, divisor))
                made.items.append(skills.unit_item(measure.ref, divisor, unit))
        if random.random() < 0.25:
            conventions = skills.conventions(Query(random.choice(skills.spec.tables)))
            if conventions and take(*(convention.ref for convention in conventions)):
                made.rules += conventions
                made.items.append(skills.rule_item(conventions))
        made.items += Notes(skills.spec, random).some()
        return made

    def _sample(self, items: list[Item], turns: list[Turn]) -> Sample | None:
        return many_turns("conversation", f"{len(turns)} turns", items, turns) if turns else None
