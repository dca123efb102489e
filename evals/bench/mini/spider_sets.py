"""Spider's dev questions (Yu et al. 2018) and Spider-Realistic (Deng et al. 2021), each on its own database's base.

Spider's training split is on other databases. Its questions come last, as confirmed answers without the schemas they
are about: what they teach can only be a way of asking and answering.
"""

from __future__ import annotations

from pathlib import Path

from evals.bench.mini.knowledge import introspected, successes
from evals.bench.mini.question_set import Group, Question, QuestionSet, Step, records

TRAINING = "train1196"
SPLITS = ("dev", "realistic")


def spider_sets(data: Path, limit: int | None = None) -> list[QuestionSet]:
    """Raises `DataUnavailable`. `limit` takes the first questions of each split."""
    folder = data / "spider"
    trained = [(record["question"], record["gold_sql"][0]) for record in records(folder / f"{TRAINING}.jsonl")]
    others = tuple(successes(trained, ()))
    return [_set(folder, split, (Step(_others(len(others)), others),), limit) for split in SPLITS]


def _set(folder: Path, split: str, last: tuple[Step, ...], limit: int | None) -> QuestionSet:
    by_database: dict[str, list[Question]] = {}
    for record in records(folder / f"{split}.jsonl")[:limit]:
        question = Question(record["id"], record["question"], tuple(record["gold_sql"]))
        by_database.setdefault(record["db_id"], []).append(question)
    groups = []
    for database, questions in sorted(by_database.items()):
        file = folder / "database" / f"{database}.sqlite"
        steps = (Step("empty base"), Step("schemas", tuple(introspected(file))), *last)
        groups.append(Group(database, file, tuple(questions), steps))
    return QuestionSet(f"spider {split}", "execution match", tuple(groups))


def _others(count: int) -> str:
    return f"schemas + {count:,} successes of other databases"
