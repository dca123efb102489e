"""Gotchas whose entity a question misspells by one edit, and false alarms: gotchas that only a wrong guess brings.

One base has a gotcha for every name of a table or column of every database. Each name that a real question has is
misspelled once, at a place and in a way drawn with a fixed seed: a letter more, less, another, or two swapped, the
first letter and spaces included. Names in quotes are values and left out. A false alarm is a question, as it was
written, with a gotcha by a word that was read as misspelled. Questions with slips of their own count as false alarms,
too, since nobody has marked them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase

import numpy as np
from numpy.typing import NDArray

from evals.bench.kb.table_recall import one_base
from evals.bench.row import Asked, Row
from evals.bench.spider import load_questions, load_schemas
from evals.interval import pass_rate
from kb.entities import Mention, name_key, quoted
from kb.items import Entity, Gotcha, Item, Schema, item_id
from kb.retrieval import Hit, Limits, Retriever

SPLITS = ("dev", "realistic", "train1196")
ASKED_RECALL, ASKED_ALARMS = Asked(at_least=0.95), Asked(at_most=0.02)
LEAST_LETTERS = 4
"""One edit makes most shorter names (id, sex, age) another word."""
_ALL = Limits(per_kind={"gotcha": 1_000_000})
_SEED = 7

Find = Callable[[str], Sequence[Hit]]
"""Question → its gotchas, all of them."""


@dataclass(frozen=True, slots=True)
class Slip:
    """A name that a question has, the question with it misspelled, and whether its gotcha was still found."""

    name: str
    question: str
    found: bool


class NoLikeness:
    """One vector for every text: gotchas are found by names alone, so nothing has to be embedded."""

    model, dimension = "no likeness", 1

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.ones((len(texts), 1), dtype=np.float32)


def gotcha_rows(folder: Path, say: Callable[[str], None], limit: int | None = None) -> list[Row]:
    """Recall and false alarms of every file of questions; `limit` takes the first of each. Raises `DataUnavailable`."""
    tables = [item for items in load_schemas(folder).values() for item in items]
    notes = gotchas_of(tables)
    base = one_base(notes)
    retriever = Retriever(base.store, NoLikeness())
    say(f"{len(notes)} gotchas, one a name")

    def find(question: str) -> Sequence[Hit]:
        return retriever.retrieve(base, question, limits=_ALL).of_kind("gotcha")

    rows: list[Row] = []
    for split in SPLITS:
        questions = list(dict.fromkeys(question.question for question in load_questions(folder, split)))[:limit]
        mentions = {q: retriever.retrieve(base, q, limits=_ALL).mentions for q in questions}
        rows += _recall_rows(split, slips(mentions, find))
        alarms = [(q, m.surface) for q in questions for m in mentions[q] if m.fuzzy]
        wrong = pass_rate(len({question for question, _ in alarms}), len(questions))
        interval = (wrong.low, wrong.high) if wrong else None
        value = wrong.rate if wrong else None
        rows.append(Row(f"{split} false alarms", value, "of questions", len(questions), interval, asked=ASKED_ALARMS))
        say(f"{split}: read as misspelled: " + (", ".join(sorted(word for _, word in alarms)) or "nothing"))
    return rows


def gotchas_of(tables: Iterable[Item]) -> list[Item]:
    """One a name of a table or column, names that are spelled alike together."""
    names: dict[str, str] = {}
    for item in tables:
        if isinstance(item.body, Schema):
            for name in (item.body.table, *(column.name for column in item.body.columns)):
                names.setdefault(name_key(name), name)
    return [
        Item(item_id("gotcha", name), f"About {name}", Gotcha(f"Mind {name}."), entities=(Entity(name),))
        for key, name in sorted(names.items())
        if key
    ]


def slips(mentions: dict[str, tuple[Mention, ...]], find: Find) -> list[Slip]:
    """Every name that a question has as it is written, and not as a value in quotes, misspelled once."""
    draw = random.Random(_SEED)
    found: list[Slip] = []
    for question, named in mentions.items():
        for mention in named:
            if mention.fuzzy or any(start <= mention.start < end for start, end in quoted(question)):
                continue
            wrong = misspell(mention.surface.lower(), draw)
            asked = question[: mention.start] + wrong + question[mention.end :]
            keys = {name_key(name.surface) for name in mention.names}
            hits = {name_key(entity.name) for hit in find(asked) for entity in hit.item.entities}
            found.append(Slip(mention.surface, asked, bool(keys & hits)))
    return found


def misspell(name: str, draw: random.Random) -> str:
    """One edit away; never the name itself."""
    while True:
        place, gap, letter = draw.randrange(len(name)), draw.randrange(len(name) + 1), draw.choice(ascii_lowercase)
        wrong = draw.choice(
            (
                name[:gap] + letter + name[gap:],
                name[:place] + name[place + 1 :],
                name[:place] + letter + name[place + 1 :],
                name[:place] + name[place + 1 : place + 2] + name[place] + name[place + 2 :],
            )
        )
        if wrong != name:
            return wrong


def _recall_rows(split: str, tried: Sequence[Slip]) -> list[Row]:
    rows: list[Row] = []
    for note, least, asked in ((f", {LEAST_LETTERS} letters or more", LEAST_LETTERS, ASKED_RECALL), ("", 1, None)):
        counted = [slip for slip in tried if len(slip.name) >= least]
        rate = pass_rate(sum(slip.found for slip in counted), len(counted))
        interval = (rate.low, rate.high) if rate else None
        name = f"{split} gotchas of misspelled names{note}"
        rows.append(Row(name, rate.rate if rate else None, "share", len(counted), interval, asked=asked))
    return rows
