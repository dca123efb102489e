"""What a reader of context must be able to do, as samples: one method a skill.

Contradictions are on purpose: the same question has one answer without a gotcha and another with it, and a metric's
name means nothing without its definition. So nothing can be answered from memory.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from random import Random

from backend.mini.database import ColumnSpec, DatabaseSpec
from backend.mini.naming import invented_word
from backend.mini.phrasing import Phrasing
from backend.mini.query import Filter, Measure, Query, Ref
from backend.mini.query_maker import QueryMaker
from backend.mini.sample import Sample, Skill, single_turn, two_turns
from backend.mini.schema_items import context_items
from kb.items import Entity, Gotcha, Item, Metric, Success, item_id

MAX_TABLES = 5
"""What retrieval would place: the tables of the query, and some more."""


@dataclass(frozen=True, slots=True)
class Skills:
    """Makes samples on one filled database. A method gives `None` where the database does not lend itself."""

    spec: DatabaseSpec
    connection: sqlite3.Connection
    random: Random

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
        if not self.maker.answers(answer):
            return None
        items = self._context(query)
        if stated:
            items.append(self.gotcha_item(wrong, right))
        items += self._distractors(query, self.random.choice((0, 1, 2)))
        return single_turn("gotcha", pattern_of(query), items, self.say(query), self.maker.sql(answer))

    def metric(self) -> Sample | None:
        """A name that nobody can know stands for a condition that its definition spells out."""
        table = self.random.choice(self.spec.tables)
        condition = self.maker.filter(table)
        if condition is None:
            return None
        query = Query(table, self.maker.measure(table), filters=(condition,))
        if not self.maker.answers(query):
            return None
        word = invented_word(self.random)
        items = [*self._context(query), self.metric_item(word, condition), *self._distractors(query, 1)]
        question = Phrasing(self.random).about(f"{word} {table.thing.plural}", query)
        return single_turn("metric", pattern_of(query), items, question, self.maker.sql(query))

    def success(self, *, distractors: int = 0) -> Sample | None:
        """A confirmed answer of the same pattern shows a convention that the question does not mention."""
        shown = self.maker.make()
        asked = self.varied(shown) if shown is not None else None
        if shown is None or asked is None or asked == shown:
            return None
        convention = self.convention(shown, asked)
        if convention is None:
            return None
        before, after = (replace(query, filters=(*query.filters, convention)) for query in (shown, asked))
        if not self.maker.answers(after):
            return None
        items = [*self._context(shown, asked), self.success_item(self.say(shown), before)]
        others = [self.maker.make() for _ in range(distractors)]
        items += [self.success_item(self.say(other), other) for other in others if other is not None]
        skill: Skill = "success among distractors" if distractors else "success"
        return single_turn(skill, pattern_of(asked), items, self.say(asked), self.maker.sql(after))

    def follow_up(self) -> Sample | None:
        """A second question that says only what changes: another value of a condition."""
        query = self.maker.make()
        if query is None or not query.filters:
            return None
        other = self.other_value(query.filters[-1])
        after = replace(query, filters=(*query.filters[:-1], other))
        if after == query or not self.maker.answers(after):
            return None
        phrasing = Phrasing(self.random)
        turns = (phrasing.question(query), self.maker.sql(query), phrasing.instead(other))
        return two_turns("follow-up", pattern_of(query), [self._context(query), []], turns, self.maker.sql(after))

    # ── the parts of a context ───────────────────────────────────────────────────────────────────────────────

    @property
    def maker(self) -> QueryMaker:
        return QueryMaker(self.spec, self.connection, self.random)

    def say(self, query: Query) -> str:
        return Phrasing(self.random).question(query)

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
        return list({item.id: item for item in made}.values())

    def gotcha_item(self, wrong: Ref, right: Ref) -> Item:
        bad, good = f"{wrong.table.name}.{wrong.column.name}", f"{right.table.name}.{right.column.name}"
        text = self.random.choice(
            (
                f"Use {good}, not {bad}.",
                f"{bad} is not maintained; {good} is the one to use.",
                f"For the {wrong.column.spoken} of {wrong.table.thing.plural} take {good} instead of {bad}.",
            )
        )
        body = Gotcha(text, wrong=bad, right=good)
        return Item(
            item_id("gotcha", f"{bad}-{good}"), f"{good}, not {bad}", body, entities=(Entity(good), Entity(bad))
        )

    def metric_item(self, word: str, condition: Filter) -> Item:
        thing = condition.ref.table.thing.plural
        maker = Query(condition.ref.table, Measure("count"), filters=(condition,))
        where = self.maker.sql(maker).partition(" WHERE ")[2]
        definition = f"{word} {thing} are {thing} with {Phrasing(self.random).condition(condition)}."
        expression = where if self.random.random() < 0.7 else ""
        return Item(
            item_id("metric", word), f"{word} {thing}", Metric(definition, expression), entities=(Entity(word),)
        )

    def success_item(self, question: str, query: Query) -> Item:
        return Item(item_id("success", question), question, Success(question, self.maker.sql(query)))

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
        """A query of the same pattern: each condition with other literals, now and then on another column; or,
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

    def convention(self, shown: Query, asked: Query) -> Filter | None:
        """A condition that the questions do not mention: rows that count, by a flag or a category."""
        used = {ref.column.name for query in (shown, asked) for ref in refs_of(query)}
        free = [column for column in shown.table.of_role("flag", "category") if column.name not in used]
        if not free:
            return None
        column = self.random.choice(free)
        values: list[str | int] = [0, 1] if column.role == "flag" else list(column.values)
        return Filter(Ref(shown.table, column), "=", (self.random.choice(values),))

    def other_value(self, entry: Filter) -> Filter:
        """A condition on the same column with the same operator, or the same one where the rows hold no other."""
        found = (self.maker.condition(entry.ref) for _ in range(12))
        return next((f for f in found if f is not None and f.operator == entry.operator and f != entry), entry)


def tables_of(query: Query) -> set[str]:
    linked = {name for link in query.links for name in (link.child, link.parent)}
    return {query.table.name, *linked, *([query.without.child] if query.without else [])}


def refs_of(query: Query) -> list[Ref]:
    """The columns that the question speaks of."""
    refs = [*query.shown, *(entry.ref for entry in query.filters)]
    optional = [query.measure.ref if query.measure else None, query.group, query.order, query.above_average]
    return list(dict.fromkeys([*refs, *(ref for ref in optional if ref is not None)]))


def pattern_of(query: Query) -> str:
    """The kind of query, without its names and literals."""
    parts = [query.measure.aggregate if query.measure else f"show {len(query.shown)}"]
    parts += [f"{len(query.links)} joins"] if query.links else []
    parts += sorted(entry.operator for entry in query.filters)
    flags = (("distinct", query.distinct), ("group", query.group), ("having", query.having), ("top", query.top))
    parts += [name for name, given in flags if given]
    parts += [name for name, given in (("above", query.above_average), ("without", query.without)) if given]
    return ", ".join(parts)


def _same_values(left: ColumnSpec, right: ColumnSpec) -> bool:
    return left.role != "category" or bool(set(left.values) & set(right.values))


def with_column(query: Query, old: Ref, new: Ref) -> Query:
    def swapped(ref: Ref | None) -> Ref | None:
        return new if ref == old else ref

    measure = query.measure
    return replace(
        query,
        measure=replace(measure, ref=swapped(measure.ref)) if measure else None,
        shown=tuple(new if ref == old else ref for ref in query.shown),
        filters=tuple(replace(entry, ref=new) if entry.ref == old else entry for entry in query.filters),
        group=swapped(query.group),
        order=swapped(query.order),
        above_average=swapped(query.above_average),
    )
