"""Changes of one item: such as change nothing that an answer depends on, and planted ones that mislead."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from random import Random

from backend.mini.changed_query import with_column
from backend.mini.skills import Skills
from evals.bench.learning.world import (
    CONFIRMED,
    DOCUMENTS,
    GOTCHAS,
    Question,
    World,
    document,
    harmless_gotcha,
    success,
)
from kb.items import Item
from kb.knowledge_base import Changes

FRESH = 2_000
"""Numbers of notes and exports from here on are new ones."""


def harmless_changes(world: World, count: int) -> Iterator[Changes]:
    """Of one item each, on which no right answer depends: a document or gotcha more, or another text of one."""
    random = Random(f"harmless/{world.seed}")
    for number in range(count):
        yield Changes(put=(_harmless(world, random, FRESH + number),))


def random_changes(world: World, count: int) -> Iterator[Changes]:
    """Of one item each: harmless ones, and confirmed answers more or retired."""
    random = Random(f"changes/{world.seed}")
    for number, question in enumerate(world.unasked(count)):
        match random.randrange(4):
            case 0:
                item = success(question)
            case 1:
                item = success(random.choice(world.questions[:CONFIRMED])).with_status("retired")
            case _:
                item = _harmless(world, random, FRESH + number)
        yield Changes(put=(item,))


def _harmless(world: World, random: Random, number: int) -> Item:
    match random.randrange(3):
        case 0:
            return document(world.spec, random, random.choice((number, random.randrange(DOCUMENTS))))
        case 1:
            return harmless_gotcha(world.spec, random, number)
        case _:
            item = world.base.snapshot("main").items[f"gotcha:export-{random.randrange(GOTCHAS)}"]
            return replace(item, title=f"{item.title}, reworded {number}")


def plants(world: World, asked: Sequence[Question], count: int) -> Iterator[tuple[Question, Changes]]:
    """Gotchas that call a column wrong which a question needs, each with that question.

    With the other column its statement gives other rows, so whoever follows the gotcha is wrong.
    """
    random = Random(f"plants/{world.seed}")
    with closing(sqlite3.connect(f"{world.database.as_uri()}?mode=ro", uri=True)) as database:
        skills = Skills(world.spec, database, random)
        misled = (found for question in cycled(random, asked) if (found := _misled(skills, question)) is not None)
        for question, item in islice(misled, count):
            yield question, Changes(put=(item,))


def cycled(random: Random, asked: Sequence[Question], rounds: int = 20) -> Iterator[Question]:
    """Each question once a round, in another order; a round may draw another column of its."""
    for _ in range(rounds):
        yield from random.sample(asked, len(asked))


def _misled(skills: Skills, question: Question) -> tuple[Question, Item] | None:
    swap = skills.swap(question.query)
    if swap is None:
        return None
    right, wrong = swap
    rows = Counter(skills.maker.rows(question.query))
    if Counter(skills.maker.rows(with_column(question.query, right, wrong))) == rows:
        return None
    return question, skills.gotcha_item(right, wrong)
