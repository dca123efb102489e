"""Questions and dialogues whose databases are here, so that answers to them can be judged by their rows.

Spider's with SParC's and CoSQL's; GeoQuery's, with half of them confirmed in the base; and some on made-up databases,
where the reference model has the skill that it lacks on what people ask.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Literal, get_args

from backend.mini.skills import Skills
from evals.bench.learning.stream_set import stream_set
from evals.bench.learning.world import CONFIRMED, World, made_world
from evals.bench.mini.knowledge import successes
from evals.bench.prefix.request_stream import Request
from evals.bench.prefix.spider_traffic import Traffic
from evals.bench.remembering import Remembering

SetName = Literal["made-up", "geography", "spider"]
SETS: tuple[SetName, ...] = get_args(SetName)

MADE_UP = 4
"""Databases, with a base each."""
MADE_UP_QUESTIONS, MADE_UP_DIALOGUES = 75, 25
"""Of each."""
_TURNS = 4


@dataclass(frozen=True, slots=True)
class RunnableSet:
    """`traffics` have a base each."""

    name: SetName
    traffics: tuple[Traffic, ...]

    def some(self, traffic: Traffic, limit: int | None) -> Traffic:
        """`limit` questions, and dialogues of about as many turns, shared by the bases; all of them without a limit.

        Drawn at random, since files are ordered by database. Dialogues stay whole.
        """
        if limit is None:
            return traffic
        share, random = -(-limit // len(self.traffics)), Random("some")
        # All are shuffled, so that a larger share begins with a smaller one.
        questions = random.sample(traffic.questions, len(traffic.questions))[:share]
        dialogues: list[tuple[Request, ...]] = []
        for dialogue in random.sample(traffic.dialogues, len(traffic.dialogues)):
            if sum(map(len, dialogues)) < share:
                dialogues.append(dialogue)
        return Traffic(traffic.items, tuple(questions), tuple(dialogues))


@contextmanager
def runnable_set(name: SetName, spider: Traffic, data: Path, embedder: Remembering) -> Iterator[RunnableSet]:
    """Databases that are made for it are gone when the block ends. Raises `DataUnavailable`."""
    with ExitStack() as held:
        match name:
            case "made-up":
                worlds = (made_world(embedder, MADE_UP_QUESTIONS, seed=seed) for seed in range(MADE_UP))
                traffics = tuple(made_up(held.enter_context(world)) for world in worlds)
            case "geography":
                folder = held.enter_context(TemporaryDirectory(prefix="kvasir-bench-"))
                traffics = (_geography(data, Path(folder)),)
            case "spider":
                traffics = (spider,)
        yield RunnableSet(name, traffics)


def _geography(data: Path, folder: Path) -> Traffic:
    """Half of the questions, over a base that has the other half as confirmed answers."""
    found = stream_set("geography", data, folder)
    confirmed = successes(((question.text, question.gold[0]) for question in found.pool), found.items)
    asked = [
        Request(question.id, 0, question.text, question.gold[0], frozenset(), database=found.database)
        for question in found.asked
    ]
    return Traffic((*found.items, *confirmed), tuple(asked), ())


def made_up(world: World) -> Traffic:
    """The questions of a world that are not confirmed in its base, and dialogues about it."""
    questions = [
        Request(f"{world.seed}/{number}", 0, question.text, question.sql, frozenset(), database=world.database)
        for number, question in enumerate(world.questions[CONFIRMED:])
    ]
    items = world.base.snapshot().items.values()
    return Traffic(tuple(items), tuple(questions), tuple(_dialogues(world)))


def _dialogues(world: World) -> Iterator[tuple[Request, ...]]:
    """Each asks twice for something else, and follows up on both."""
    random = Random(f"dialogues/{world.seed}")
    with closing(sqlite3.connect(world.database)) as connection:
        skills = Skills(world.spec, connection, random)
        for number in range(MADE_UP_DIALOGUES):
            turns: list[tuple[str, str]] = []
            while len(turns) < _TURNS:
                turns += _followed(skills)
            yield tuple(
                Request(f"{world.seed}/dialogue-{number}", turn, text, sql, frozenset(), database=world.database)
                for turn, (text, sql) in enumerate(turns)
            )


def _followed(skills: Skills) -> Sequence[tuple[str, str]]:
    """A question and its follow-up, with the statements that answer them; nothing where the query has none."""
    query = skills.maker.make()
    followed = skills.following(query) if query is not None else None
    if query is None or followed is None:
        return ()
    text, after = followed
    return (skills.say(query), skills.maker.sql(query)), (text, skills.maker.sql(after))
