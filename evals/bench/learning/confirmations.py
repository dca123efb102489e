"""A stream of questions to confirm: templates come back, in few wordings, with other values or word for word.

Which of them a careless person judges is drawn beforehand, so that every arm of a comparison has the same stream.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from random import Random

from backend.mini.database import DatabaseSpec
from backend.mini.phrasing import Phrasing
from backend.mini.query import Query, refs_of
from backend.mini.query_maker import QueryMaker
from backend.mini.skills import Skills
from evals.bench.learning.mistakes import Mistake, Mistakes
from evals.bench.learning.schema_change import SchemaChange

PER_TEMPLATE = 10
"""So many confirmations a template on average; by Zipf's law, the first ones have most of them."""
WORDINGS, VALUES = 3, 8
"""Ways to ask one template, and sets of values that it is asked with."""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A question that is asked and judged. `query` is what it means on the database as it is then.

    `careless` is whether who judges it is; `wrong` is what they would say is right instead.
    """

    step: int
    template: int
    text: str
    query: Query
    sql: str
    careless: bool
    wrong: Mistake


@dataclass(frozen=True)
class Stream:
    """`change` is made before the confirmation number `change_at`."""

    confirmations: tuple[Confirmation, ...]
    change: SchemaChange
    change_at: int
    right_after: dict[str, str | None]
    """Question → the statement that is right once the schema has changed; `None` where nothing answers it then."""


def made_stream(spec: DatabaseSpec, database: Path, count: int, *, wrong: float, seed: int) -> Stream:
    """`database` is the file before the change, and is only read. `wrong` is the share of careless judgements."""
    with closing(sqlite3.connect(":memory:")) as before, closing(sqlite3.connect(":memory:")) as after:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as file:
            file.backup(before)
            file.backup(after)
        return _Draw(spec, before, after, count, seed).stream(wrong)


class _Draw:
    def __init__(
        self, spec: DatabaseSpec, before: sqlite3.Connection, after: sqlite3.Connection, count: int, seed: int
    ) -> None:
        self._spec, self._before, self._after = spec, before, after
        self._count, self._seed = count, seed
        self._random = Random(f"confirmations/{seed}")
        self._asked: dict[str, Query] = {}
        """Each question means one query: where two templates would be asked alike, the first one keeps the words."""

    def stream(self, wrong: float) -> Stream:
        change, change_at = self._change, self._count // 2
        change.apply_to(self._after)
        mistakes = Mistakes(self._spec, self._before), Mistakes(change.spec, self._after)
        made: list[Confirmation] = []
        for step in range(self._count):
            changed = step >= change_at
            template, text, query = self._draw(changed)
            if changed:
                query = change.after(query)
            others = self._others_after if changed else self._others
            mistake = mistakes[changed].of(query, others, Random(f"mistake/{self._seed}/{step}"))
            careless = self._random.random() < wrong
            sql = self._maker(changed).sql(query)
            made.append(Confirmation(step, template, text, query, sql, careless, mistake))
        return Stream(tuple(made), change, change_at, {text: self._sql_after(q) for text, q in self._asked.items()})

    @cached_property
    def _templates(self) -> list[list[Query]]:
        """Each with the values that it is asked with; the first is how it was found."""
        maker, skills = self._maker(False), Skills(self._spec, self._before, self._random)
        found: dict[Query, list[Query]] = {}
        while len(found) < max(2, self._count // PER_TEMPLATE):
            query = maker.make()
            if query is not None and _shape(query) not in found:
                found[_shape(query)] = _with_other_values(skills, query)
        return list(found.values())

    @cached_property
    def _change(self) -> SchemaChange:
        """Of columns that are often asked for, and that at most one template in ten needs, so that enough is left."""
        read = [{ref for ref in refs_of(queries[0]) if ref.column.role is not None} for queries in self._templates]
        often = read[: max(2, len(read) // 4)]
        refs = sorted(set().union(*often), key=lambda ref: (ref.table.name, ref.column.name))
        few = [ref for ref in refs if sum(ref in each for each in read) <= max(1, len(read) // 10)]
        renamed, dropped = self._random.sample(few or refs, 2)
        return SchemaChange(self._spec, renamed, dropped)

    def _draw(self, changed: bool) -> tuple[int, str, Query]:
        while True:
            template = self._ranked(len(self._templates))
            queries = self._templates[template]
            query = queries[self._ranked(len(queries))]
            wording = self._ranked(WORDINGS)
            # The same draws say the same words around other values.
            text = Phrasing(Random(f"wording/{self._seed}/{template}/{wording}")).question(query)
            if changed and self._change.asks_what_is_gone(query):
                continue
            if self._asked.setdefault(text, query) == query:
                return template, text, query

    def _ranked(self, count: int) -> int:
        """A number below `count`, by Zipf's law."""
        return self._random.choices(range(count), [1 / (rank + 1) for rank in range(count)])[0]

    def _others(self, random: Random) -> Query:
        return random.choice(random.choice(self._templates))

    def _others_after(self, random: Random) -> Query:
        while self._change.asks_what_is_gone(query := self._others(random)):
            pass
        return self._change.after(query)

    def _sql_after(self, query: Query) -> str | None:
        return None if self._change.asks_what_is_gone(query) else self._maker(True).sql(self._change.after(query))

    def _maker(self, changed: bool) -> QueryMaker:
        spec, connection = (self._change.spec, self._after) if changed else (self._spec, self._before)
        return QueryMaker(spec, connection, self._random)


def _shape(query: Query) -> Query:
    """The query without the values of its conditions."""
    filters = tuple(replace(entry, values=()) for entry in query.filters)
    measure = query.measure
    if measure is not None and measure.condition is not None:
        measure = replace(measure, condition=replace(measure.condition, values=()))
    return replace(query, filters=filters, measure=measure)


def _with_other_values(skills: Skills, query: Query) -> list[Query]:
    found = {query: None}
    for _ in range(4 * VALUES if query.filters else 0):
        other = replace(query, filters=tuple(map(skills.other_value, query.filters)))
        if skills.maker.answers(other):
            found.setdefault(other)
    return list(found)[:VALUES]
