"""What a reader of context must be able to do, as samples: one method a skill.

Contradictions are on purpose: the same question has one answer without a gotcha and another with it, and a metric's
name means nothing without its definition. So nothing can be answered from memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from backend.mini.changed_query import in_unit, under, with_column
from backend.mini.counterpart import counterpart
from backend.mini.database import ColumnSpec, DatabaseSpec
from backend.mini.naming import invented_word
from backend.mini.notes import Notes
from backend.mini.phrasing import Phrasing
from backend.mini.query import Filter, Measure, Query, Ref, pattern_of, refs_of, tables_of
from backend.mini.query_maker import QueryMaker
from backend.mini.sample import Sample, Skill, single_turn, two_turns
from backend.mini.schema_items import context_items
from backend.mini.sql_writer import PLAIN, Hand, random_hand
from kb.items import Entity, Gotcha, Item, Metric, Rule, Success, item_id

MAX_TABLES = 5
"""What retrieval would place: the tables of the query, and some more."""
UNITS = ((100, "cents"), (1000, "grams"), (60, "minutes"), (24, "hours"), (12, "months"))
"""Smaller units, and how many make one of the unit asked for."""


@dataclass(frozen=True, slots=True)
class Named:
    """A figure that has a name nobody can know, such as `zandor`: a measure of the rows that meet `condition`."""

    word: str
    measure: Measure
    condition: Filter | None
    query: Query


@dataclass(frozen=True, slots=True)
class Skills:
    """Makes samples on one filled database. A method gives `None` where the database does not lend itself.

    `held_out` chooses the templates: those of training, or those that training never shows.
    """

    spec: DatabaseSpec
    connection: sqlite3.Connection
    random: Random
    held_out: bool = False

    def plain(self) -> Sample | None:
        query = self.maker.make()
        if query is None:
            return None
        items = [*self._context(query), *self._distractors(query, self.random.choice((0, 0, 1, 2)))]
        return single_turn("plain", pattern_of(query), items, self.say(query), self.maker.sql(query))

    def gotcha(self, *, stated: bool = True) -> Sample | None:
        """The question speaks of one column, and a gotcha says to use its twin. Unstated, the obvious one is right."""
        query = self.maker.make()
        swap = self.swap(query) if query is not None else None
        if query is None or swap is None:
            return None
        wrong, right = swap
        answer = with_column(query, wrong, right) if stated else query
        if not self.maker.wanted(query, answer) or not self._tells(query, answer):
            return None
        items = self._context(query)
        if stated:
            items.append(self.gotcha_item(wrong, right))
        items += self._distractors(query, self.random.choice((0, 1, 2)))
        return single_turn("gotcha", pattern_of(query), items, self.say(query), self.maker.sql(answer))

    def unit(self, *, stated: bool = True) -> Sample | None:
        """A column is kept in a smaller unit, and a gotcha says what to divide by."""
        query = self.maker.make()
        measure = query.measure if query is not None else None
        if query is None or measure is None or measure.ref is None or measure.aggregate == "count distinct":
            return None
        divisor, unit = self.random.choice(UNITS)
        items = self._context(query)
        if stated:
            items.append(self.unit_item(measure.ref, divisor, unit, self._other_amount(measure.ref)))
            query = in_unit(query, measure.ref, divisor)
        items += self._distractors(query, self.random.choice((0, 1)))
        return single_turn("gotcha", pattern_of(query), items, self.say(query), self.maker.sql(query))

    def rule(self) -> Sample | None:
        """A rule says which rows of a table count at all."""
        query = self.maker.make()
        conventions = self.conventions(query) if query is not None else ()
        if query is None or not conventions:
            return None
        answer = under(query, *conventions)
        if not self.maker.wanted(query, answer) or not self._tells(query, answer):
            return None
        items = [*self._context(query), self.rule_item(conventions), *self._distractors(query, 1)]
        return single_turn("rule", pattern_of(query), items, self.say(query), self.maker.sql(answer))

    def metric(self) -> Sample | None:
        """A name that nobody can know stands for a condition, or for a figure, that its definition spells out."""
        if self.random.random() < 0.5:
            return self._named_measure()
        table = self.random.choice(self.spec.tables)
        condition = self.maker.filter(table)
        if condition is None:
            return None
        query = Query(table, self.maker.measure(table), filters=(condition,))
        if not self.maker.wanted(query) or not self.maker.answers(query):
            return None
        word = invented_word(self.random)
        items = [*self._context(query), self.metric_item(word, condition), *self._distractors(query, 1)]
        question = Phrasing(self.random).about(f"{word} {table.thing.plural}", query)
        return single_turn("metric", pattern_of(query), items, question, self.maker.sql(query))

    def _named_measure(self) -> Sample | None:
        named = self.named()
        if named is None:
            return None
        query = under(named.query, named.condition)
        if not self.maker.wanted(query) or not self.maker.answers(query):
            return None
        items = [*self._context(query), self.named_item(named), *self._distractors(query, 1)]
        question = Phrasing(self.random).named(named.word, named.query)
        return single_turn("metric", pattern_of(query), items, question, self.maker.sql(query))

    def success(self, *, distractors: int = 0, elsewhere: bool | None = None) -> Sample | None:
        """A confirmed answer of the same template shows a convention that the question does not mention.

        `elsewhere` asks about another table than the one of the confirmed answer; by default now this, now that.
        """
        shown = self.maker.make()
        if shown is None:
            return None
        elsewhere = self.random.random() < 0.5 if elsewhere is None else elsewhere
        asked = counterpart(self.maker, shown) if elsewhere else self.varied(shown)
        if asked is None or asked == shown:
            return None
        conventions = self.shared_convention(shown, asked)
        if conventions is None:
            return None
        before, after = under(shown, conventions[0]), under(asked, conventions[1])
        if not self.maker.wanted(asked, before, after) or not self._tells(asked, after):
            return None
        hand = self.hand()
        items = [*self._context(shown, asked), self.success_item(self.say(shown), before, hand)]
        made = [other for _ in range(distractors) if (other := self.maker.make()) is not None]
        others = [other for other in made if pattern_of(other) != pattern_of(shown)]
        items += [self.success_item(self.say(other), other, hand) for other in others]
        skill: Skill = "success among distractors" if distractors else "success"
        return single_turn(skill, pattern_of(asked), items, self.say(asked), self.maker.sql(after, hand))

    def _tells(self, naive: Query, answer: Query) -> bool:
        """Whether the answer finds something, and something else than what a reader of the question alone finds."""
        return self.maker.answers(answer) and (answer == naive or self.maker.rows(answer) != self.maker.rows(naive))

    def follow_up(self) -> Sample | None:
        """A second question that says only what changes."""
        query = self.maker.make()
        followed = self.following(query) if query is not None else None
        if query is None or followed is None:
            return None
        question, after = followed
        turns = (Phrasing(self.random).question(query), self.maker.sql(query), question)
        return two_turns("follow-up", pattern_of(query), [self._context(query), []], turns, self.maker.sql(after))

    def following(self, query: Query) -> tuple[str, Query] | None:
        """What is asked next, and its whole meaning: another value, one more condition, another figure, a split."""
        phrasing = Phrasing(self.random)
        change = self.random.choice(("value", "value", "value", "condition", "measure", "group"))
        if change == "value" and query.filters:
            other = self.other_value(query.filters[-1])
            return self._sound(phrasing.instead(other), replace(query, filters=(*query.filters[:-1], other)), query)
        if change == "condition" and query.top is None:
            entry = self.maker.filter(query.table)
            if entry is not None and entry.ref not in refs_of(query):
                return self._sound(phrasing.also(entry), replace(query, filters=(*query.filters, entry)), query)
        plain = query.measure is not None and query.measure.condition is None and query.second is None
        if change == "measure" and plain and query.top is None:
            after = replace(query, measure=self.maker.measure(query.table))
            return self._sound(phrasing.other_measure(after), after, query)
        if change == "group" and plain and query.group is None and not query.links:
            group = self.maker.group(query.table, ())
            if group is not None and group not in refs_of(query):
                after = replace(query, group=group)
                return self._sound(phrasing.by_group(after), after, query)
        return None

    def _sound(self, question: str, after: Query, before: Query) -> tuple[str, Query] | None:
        sound = after != before and self.maker.wanted(after) and self.maker.answers(after)
        return (question, after) if sound else None

    # ── the parts of a context ───────────────────────────────────────────────────────────────────────────────

    @property
    def maker(self) -> QueryMaker:
        return QueryMaker(self.spec, self.connection, self.random, self.held_out)

    def say(self, query: Query) -> str:
        return Phrasing(self.random).question(query)

    def hand(self) -> Hand:
        """Whose SQL the confirmed answers of one context are."""
        return PLAIN if self.random.random() < 0.35 else random_hand(self.random)

    def _context(self, *queries: Query) -> list[Item]:
        needed = {name for query in queries for name in tables_of(query)}
        others = [table.name for table in self.spec.tables if table.name not in needed]
        room = max(0, MAX_TABLES - len(needed))
        more = self.random.sample(others, min(len(others), self.random.randint(0, room)))
        return context_items(self.spec, needed | set(more))

    def _distractors(self, query: Query, count: int) -> list[Item]:
        """Gotchas, rules and metrics about columns that the question does not touch."""
        used = {ref.column.name for ref in refs_of(query)}
        made: list[Item] = []
        for _ in range(count):
            table = self.random.choice(self.spec.tables)
            free = [column for column in table.columns if column.role is not None and column.name not in used]
            if len(free) >= 2:
                wrong, right = self.random.sample(free, 2)
                made.append(self.gotcha_item(Ref(table, wrong), Ref(table, right)))
        return [*{item.id: item for item in made}.values(), *Notes(self.spec, self.random).some()]

    def gotcha_item(self, wrong: Ref, right: Ref) -> Item:
        bad, good = f"{wrong.table.name}.{wrong.column.name}", f"{right.table.name}.{right.column.name}"
        text = self.random.choice(
            (
                f"Use {good}, not {bad}.",
                f"{bad} is not maintained; {good} is the one to use.",
                f"For the {wrong.column.spoken} of {wrong.table.thing.plural} take {good} instead of {bad}.",
                f"{wrong.column.spoken} of {wrong.table.thing.plural}: {good} ({bad} is wrong).",
                f"Never use {bad}; the right column is {good}.",
                f"{good} replaced {bad}.",
                f"{bad} is stale. Read {good}.",
            )
        )
        body = Gotcha(text, wrong=bad, right=good)
        return Item(
            item_id("gotcha", f"{bad}-{good}"), f"{good}, not {bad}", body, entities=(Entity(good), Entity(bad))
        )

    def metric_item(self, word: str, condition: Filter) -> Item:
        thing = condition.ref.table.thing.plural
        where = self._where(condition)
        definition = f"{word} {thing} are {thing} with {Phrasing(self.random).condition(condition)}."
        expression = where if self.random.random() < 0.7 else ""
        return Item(
            item_id("metric", word), f"{word} {thing}", Metric(definition, expression), entities=(Entity(word),)
        )

    def unit_item(self, ref: Ref, divisor: int, unit: str, other: Ref | None = None) -> Item:
        """`other` is a column that needs no division, and may be said to."""
        column = _qualified(ref)
        text = self.random.choice(
            (
                f"{column} is in {unit}: divide by {divisor}.0.",
                f"{column} holds {unit}; divide by {divisor}.0 for the unit that people mean.",
                f"Divide {column} by {divisor}.0, it is kept in {unit}.",
            )
        )
        if other is not None and self.random.random() < 0.4:
            text += f" {_qualified(other)} is in the larger unit already."
        return Item(item_id("gotcha", f"{column}-unit"), f"Unit of {column}", Gotcha(text), entities=(Entity(column),))

    def rule_item(self, conventions: Sequence[Filter]) -> Item:
        """Which rows of one table count; all the conditions hold."""
        table = conventions[0].ref.table
        hand = Hand(qualified=self.random.random() < 0.5)
        where = self.random.choice((" AND ", " and ")).join(self._where(entry, hand) for entry in conventions)
        thing, things = table.thing.singular, table.thing.plural
        text = self.random.choice(
            (
                f"Only {things} with {where} count.",
                f"A {thing} counts where {where}.",
                f"{thing.capitalize()} rows count where {where}.",
                f"Always filter {table.name} by {where}.",
                f"Leave out {things} unless {where}.",
            )
        )
        return Item(item_id("rule", f"{table.name}-counts"), f"Which {things} count", Rule(text))

    def named_item(self, named: Named) -> Item:
        """A figure's definition, with its expression or in words alone."""
        query = Query(named.query.table, named.measure, filters=(named.condition,) if named.condition else ())
        phrasing = Phrasing(self.random)
        definition = f"{named.word} is the {phrasing.figure(query)}."
        expression = ""
        if self.random.random() < 0.7:
            hand = Hand(qualified=self.random.random() < 0.4, capital_functions=self.random.random() < 0.5)
            where = f" WHERE {self._where(named.condition, hand)}" if named.condition else ""
            expression = self.maker.sql(query, hand).partition(" FROM ")[0].removeprefix("SELECT ") + where
        body = Metric(definition, expression)
        return Item(item_id("metric", named.word), named.word, body, entities=(Entity(named.word),))

    def success_item(self, question: str, query: Query, hand: Hand = PLAIN) -> Item:
        return Item(item_id("success", question), question, Success(question, self.maker.sql(query, hand)))

    def _where(self, condition: Filter, hand: Hand = PLAIN) -> str:
        query = Query(condition.ref.table, Measure("count"), filters=(condition,))
        return self.maker.sql(query, hand).partition(" WHERE ")[2]

    def _other_amount(self, ref: Ref) -> Ref | None:
        columns = [column for column in ref.table.of_role("amount", "count") if column != ref.column]
        return Ref(ref.table, self.random.choice(columns)) if columns else None

    # ── variations ───────────────────────────────────────────────────────────────────────────────────────────

    def swap(self, query: Query) -> tuple[Ref, Ref] | None:
        """A column that the query uses, and another of its table that could stand in its place."""
        options: list[tuple[Ref, Ref]] = []
        for ref in refs_of(query):
            for column in ref.table.columns:
                if column.role == ref.column.role and column != ref.column and _same_values(column, ref.column):
                    options.append((ref, Ref(ref.table, column)))
        return self.random.choice(options) if options else None

    def varied(self, query: Query) -> Query:
        """A query of the same template: each condition with other literals, now and then on another column; or,
        where there is no condition, a measure of another column.
        """
        if query.filters:
            return replace(query, filters=tuple(self._another(entry) for entry in query.filters))
        measure = query.measure
        if measure is None or measure.ref is None:
            return query
        columns = [column for column in query.table.columns if column.role == measure.ref.column.role]
        return replace(query, measure=replace(measure, ref=Ref(query.table, self.random.choice(columns))))

    def _another(self, entry: Filter) -> Filter:
        found = [f for f in (self.maker.filter(entry.ref.table) for _ in range(12)) if f is not None]
        return next((f for f in found if f.operator == entry.operator and f != entry), entry)

    def convention(self, *queries: Query) -> Filter | None:
        """A condition on the first query's table that no question mentions: rows that count, by a flag or so."""
        table = queries[0].table
        used = {ref.column.name for query in queries for ref in refs_of(query)}
        free = [column for column in table.of_role("flag", "category") if column.name not in used]
        free += [column for column in table.of_role("date") if column.nullable and column.name not in used]
        if not free:
            return None
        column = self.random.choice(free)
        if column.role == "date":
            return Filter(Ref(table, column), "null", ())
        values: list[str | int] = [0, 1] if column.role == "flag" else list(column.values)
        return Filter(Ref(table, column), "=", (self.random.choice(values),))

    def conventions(self, query: Query) -> tuple[Filter, ...]:
        """One or two conditions on the query's table that the question does not mention."""
        found = [self.convention(query) for _ in range(self.random.choice((1, 1, 2)))]
        return tuple({entry.ref: entry for entry in found if entry is not None}.values())

    def shared_convention(self, shown: Query, asked: Query) -> tuple[Filter, Filter] | None:
        """One condition, on the tables of both queries: where they differ, both have a column of its name."""
        convention = self.convention(shown, asked)
        if convention is None or shown.table == asked.table:
            return None if convention is None else (convention, convention)
        carried = self.carried(convention, asked)
        return None if carried is None else (convention, carried)

    def carried(self, convention: Filter, asked: Query) -> Filter | None:
        """The convention on the table of another query, which has to have such a column and not to speak of it."""
        name, role = convention.ref.column.name, convention.ref.column.role
        twin = next((column for column in asked.table.columns if column.name == name), None)
        if twin is None or twin.role != role or name in {ref.column.name for ref in refs_of(asked)}:
            return None
        return replace(convention, ref=Ref(asked.table, twin))

    def named(self) -> Named | None:
        """A figure of a table, most often of some of its rows, asked for as it is, by group or for a condition."""
        table = self.random.choice(self.spec.tables)
        measure = self.maker.measure(table)
        condition = self.maker.filter(table) if self.random.random() < 0.75 or measure.ref is None else None
        if condition is None and measure.ref is None:
            return None
        group = self.maker.group(table, ()) if self.random.random() < 0.35 else None
        asked = self.maker.filter(table) if self.random.random() < 0.4 else None
        used = [ref for ref in (measure.ref, condition and condition.ref, group, asked and asked.ref) if ref]
        if len(set(used)) < len(used):
            return None
        query = Query(table, measure, filters=(asked,) if asked else (), group=group)
        return Named(invented_word(self.random), measure, condition, query)

    def other_value(self, entry: Filter) -> Filter:
        """A condition on the same column with the same operator, or the same one where the rows hold no other."""
        return self.maker.condition_like(entry, entry.ref) or entry


def _qualified(ref: Ref) -> str:
    return f"{ref.table.name}.{ref.column.name}"


def _same_values(left: ColumnSpec, right: ColumnSpec) -> bool:
    if left.nullable != right.nullable:
        return False
    return left.role != "category" or bool(set(left.values) & set(right.values))
