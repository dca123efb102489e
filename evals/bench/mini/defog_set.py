"""Defog's sql-eval on SQLite. It has no training split, so its last step is the business glossary, as rules.

Some tasks come with an instruction, which belongs to the question and is asked with it, as Defog's own runner does.
The data speak of "now", which is the moment at which the databases were made.
"""

from __future__ import annotations

from pathlib import Path

from evals.bench.mini.knowledge import introspected
from evals.bench.mini.question_set import Group, Question, QuestionSet, Step, records
from kb.items import Item, Rule, item_id

CLOCK = "2025-06-18 12:00:00"


def defog_set(data: Path, limit: int | None = None) -> QuestionSet:
    """Raises `DataUnavailable`. `limit` takes the first questions."""
    folder = data / "defog"
    rules: dict[str, list[Item]] = {}
    for record in records(folder / "glossary.jsonl"):
        rule = Item(item_id("rule", record["id"]), record["text"][:120], Rule(record["text"]), usage="always")
        rules.setdefault(record["db_id"], []).append(rule)
    by_database: dict[str, list[Question]] = {}
    for record in records(folder / "tasks.jsonl")[:limit]:
        text = "\n".join(part for part in (record["question"], record["instructions"]) if part)
        question = Question(record["id"], text, tuple(record["gold_sql_frozen"]))
        by_database.setdefault(record["db_id"], []).append(question)
    groups = []
    for database, questions in sorted(by_database.items()):
        file = folder / "db" / f"{database}.sqlite"
        steps = (
            Step("empty base"),
            Step("schemas", tuple(introspected(file))),
            Step("schemas + glossary", tuple(rules.get(database, ()))),
        )
        groups.append(Group(database, file, tuple(questions), steps))
    return QuestionSet("defog", "execution match", tuple(groups), CLOCK)
