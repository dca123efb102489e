"""Training batches: made on all cores while the model trains, in an order that depends on the seed alone."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache, partial
from itertools import count, islice
from multiprocessing import get_context
from pathlib import Path
from random import Random

import numpy as np
import numpy.typing as npt

from backend.mini.corpus import samples_of
from backend.mini.database import fill, random_database
from backend.mini.dialogue import Dialogues, part_of
from backend.mini.notes import INSTRUCTIONS
from backend.mini.sample import Sample, under_instructions
from backend.mini.skills import Skills
from backend.mini.spider import Spider
from backend.mini.tokenizer import TextEncoder
from backend.mini.training import Training

CHUNK_DATABASES = 12
DIALOGUES = 14
"""Conversations a database, beside every third of its samples of one question."""
WAITING_CHUNKS = 8
"""A process: more would only fill the memory."""

Encoded = tuple[npt.NDArray[np.uint16], npt.NDArray[np.bool_]]
"""Ids, and which of them are answers."""


@dataclass(frozen=True, slots=True)
class Batch:
    """`ids` and `answers` are (samples, length), padded at the right with `pad`."""

    ids: npt.NDArray[np.uint16]
    answers: npt.NDArray[np.bool_]


def conversations_of(training: Training, database: int, pieces: Sequence[str] = ()) -> Iterator[Sample]:
    """What one database gives: conversations on parts of it, and samples of one question.

    Now and then its names are made of `pieces`: the tokenizer's entries, so that none stays untrained.
    """
    random = Random(f"{training.seed}/{database}/conversations")
    easy = database < training.easy_databases
    spec = random_database(random, pieces if random.random() < training.piece_share else ())
    with closing(fill(spec, random)) as connection:
        for _ in range(DIALOGUES):
            wide = random.random() < training.wide_share
            part = part_of(spec, random, 2 if easy else 12 if wide else training.max_tables)
            dialogues = Dialogues(Skills(part, connection, random), turns=random.choice((1, 2, 4, 6, 8, 10)))
            made = dialogues.successes() if random.random() < 0.3 else dialogues.mixed()
            if made is not None:
                yield made
    if not easy:
        yield from list(samples_of(training.seed, database))[::3]


def encoded_chunk(training: Training, tokenizer: Path, chunk: int) -> list[Encoded]:
    encoder = _encoder(tokenizer)
    return [
        encoder.training(sample.messages, sample.answer)
        for samples in database_samples(training, chunk, _pieces(training, tokenizer))
        for sample in samples
    ]


def database_samples(training: Training, chunk: int, pieces: Sequence[str] = ()) -> Iterator[list[Sample]]:
    """Those of each of the chunk's databases, and once it is no longer easy, some that people asked."""
    first = chunk * CHUNK_DATABASES
    for database in range(first, first + CHUNK_DATABASES):
        random = Random(f"{training.seed}/{database}/instructions")
        try:
            made = list(conversations_of(training, database, pieces))
        except Exception as exc:  # noqa: BLE001 - a worker's outermost edge.
            # One of some hundred thousand databases, with a name that nobody foresaw, must not end the run.
            print(f"database {database} left out: {exc!r}", file=sys.stderr)  # noqa: T201
            continue
        yield [
            under_instructions(sample, random.choice(INSTRUCTIONS)) if random.random() < 0.5 else sample
            for sample in made
        ]
    if training.data and first >= training.easy_databases:
        random = Random(f"{training.seed}/{chunk}/spider")
        yield from ([sample] for sample in _spider(training.data).samples(random, training.spider_samples))


def batches(
    training: Training, tokenizer: Path, *, processes: int, chunks: Iterator[int] | None = None
) -> Iterator[tuple[Batch, int]]:
    """Batches of about `batch_tokens`, each of one length, with the chunk that it came from; endless unless `chunks`
    ends."""
    waiting: dict[int, list[Encoded]] = {length: [] for length in training.lengths}
    pad = _encoder(tokenizer).pad
    for chunk, made in _chunks(training, tokenizer, processes, count() if chunks is None else chunks):
        for sample in made:
            length = next((length for length in training.lengths if len(sample[0]) <= length), None)
            if length is None:
                continue
            waiting[length].append(sample)
            if len(waiting[length]) == max(1, training.batch_tokens // length):
                yield _padded(waiting[length], length, pad), chunk
                waiting[length] = []


def _chunks(
    training: Training, tokenizer: Path, processes: int, chunks: Iterator[int]
) -> Iterator[tuple[int, list[Encoded]]]:
    make = partial(encoded_chunk, training, tokenizer)
    if processes == 0:
        for chunk in chunks:
            yield chunk, make(chunk)
        return
    with get_context("spawn").Pool(processes, _quiet) as pool:
        waiting = deque((n, pool.apply_async(make, (n,))) for n in islice(chunks, processes * WAITING_CHUNKS))
        while waiting:
            chunk, made = waiting.popleft()
            waiting.extend((n, pool.apply_async(make, (n,))) for n in islice(chunks, 1))
            yield chunk, made.get()


@cache
def _pieces(training: Training, tokenizer: Path) -> tuple[str, ...]:
    """What names are made of now and then: the tokenizer's entries, and words that people use."""
    return (*_encoder(tokenizer).pieces, *(_spider(training.data).words if training.data else ()))


def _quiet() -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def _padded(samples: list[Encoded], length: int, pad: int) -> Batch:
    ids = np.full((len(samples), length), pad, dtype=np.uint16)
    answers = np.zeros((len(samples), length), dtype=np.bool_)
    for row, (tokens, marks) in enumerate(samples):
        ids[row, : len(tokens)] = tokens
        answers[row, : len(tokens)] = marks
    return Batch(ids, answers)


@cache
def _spider(folder: str) -> Spider:
    return Spider(Path(folder))


_ENCODERS: dict[Path, TextEncoder] = {}


def _encoder(tokenizer: Path) -> TextEncoder:
    """A process reads the tokenizer once."""
    if tokenizer not in _ENCODERS:
        _ENCODERS[tokenizer] = TextEncoder(tokenizer)
    return _ENCODERS[tokenizer]
