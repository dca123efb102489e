"""The training text: samples of every skill, deterministic by seed, made on all cores.

A sample's seed is (seed, number of its database), so that a corpus does not depend on how many processes made it,
and held-out databases are those of another seed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from random import Random

from backend.mini.database import fill, random_database
from backend.mini.sample import Sample
from backend.mini.skills import Skills

SAMPLES_PER_DATABASE = 24
SHARD_DATABASES = 500

_SHARES: tuple[tuple[Callable[[Skills], Sample | None], float], ...] = (
    (Skills.plain, 0.25),
    (lambda skills: skills.gotcha(), 0.12),
    (lambda skills: skills.gotcha(stated=False), 0.06),
    (lambda skills: skills.unit(stated=skills.random.random() < 0.7), 0.05),
    (Skills.rule, 0.05),
    (Skills.metric, 0.13),
    (lambda skills: skills.success(), 0.12),
    (lambda skills: skills.success(distractors=5), 0.14),
    (Skills.follow_up, 0.10),
)
"""How often each skill is tried; those that a database does not lend itself to are left out."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A range of databases, and the file that their samples go to."""

    path: Path
    seed: int
    databases: range


def samples_of(seed: int, database: int) -> Iterator[Sample]:
    """The samples of one database, each question once."""
    random = Random(f"{seed}/{database}")
    spec = random_database(random)
    seen: set[str] = set()
    with closing(fill(spec, random)) as connection:
        skills = Skills(spec, connection, random)
        makers, weights = zip(*_SHARES, strict=True)
        for make in random.choices(makers, weights, k=SAMPLES_PER_DATABASE):
            sample = make(skills)
            if sample is not None and sample.id not in seen:
                seen.add(sample.id)
                yield sample


def write_corpus(
    folder: Path, *, seed: int, databases: int, processes: int, on_shard: Callable[[Path, int], None]
) -> int:
    """Write JSON lines, one sample a line, in shards; gives how many. A shard that is there already is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    starts = range(0, databases, SHARD_DATABASES)
    shards = [
        Shard(folder / f"{start:08d}.jsonl", seed, range(start, min(start + SHARD_DATABASES, databases)))
        for start in starts
    ]
    total = 0
    with get_context("spawn").Pool(processes) as pool:
        for path, count in pool.imap_unordered(_write_shard, shards):
            total += count
            on_shard(path, count)
    return total


def _write_shard(shard: Shard) -> tuple[Path, int]:
    if shard.path.exists():
        with shard.path.open() as lines:
            return shard.path, sum(1 for _ in lines)
    count = 0
    unfinished = shard.path.with_suffix(".new")
    with unfinished.open("w") as file:
        for database in shard.databases:
            for sample in samples_of(shard.seed, database):
                file.write(json.dumps(_record(sample), ensure_ascii=False) + "\n")
                count += 1
    unfinished.rename(shard.path)
    return shard.path, count


def _record(sample: Sample) -> dict[str, object]:
    return {
        "skill": sample.skill,
        "pattern": sample.pattern,
        "messages": list(sample.messages),
        "answer": sample.answer,
    }
