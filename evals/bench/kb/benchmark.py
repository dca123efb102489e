"""`kvasir bench kb`: its sections, each with what it needs. One whose data is absent is left out and told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from evals.bench.errors import DataUnavailable
from evals.bench.row import Row
from kb.embedding import SentenceEmbedder

Section = Literal["versions", "retrieval", "tables", "patterns", "glossary", "gotchas"]
SECTIONS: tuple[Section, ...] = get_args(Section)


@dataclass(frozen=True, slots=True)
class Plan:
    """`items` and `commits` are of the large base; `limit` takes the first questions of each file of the others."""

    sections: Sequence[Section]
    data: Path
    items: int
    commits: int
    limit: int | None = None


def kb_rows(plan: Plan, say: Callable[[str], None]) -> list[Row]:
    """The rows of the sections, in their order. Raises `DataUnavailable` where no section has its data."""
    rows: list[Row] = []
    absent: list[DataUnavailable] = []
    for section in plan.sections:
        try:
            rows += _rows(section, plan, say)
        except DataUnavailable as exc:
            say(f"{section} left out: {exc}")
            absent.append(exc)
    if absent and not rows:
        raise absent[0]
    return rows


def _rows(section: Section, plan: Plan, say: Callable[[str], None]) -> list[Row]:
    # Imported here, so that a section loads its own libraries alone.
    match section:
        case "versions":
            from evals.bench.kb.versions import version_rows

            return version_rows(say, large=plan.items, commits=plan.commits)
        case "retrieval":
            from evals.bench.kb.retrieval import retrieval_rows

            return retrieval_rows(_embedder(), say, items=plan.items, commits=plan.commits)
        case "tables":
            from evals.bench.kb.table_recall import table_rows

            return table_rows(plan.data, _embedder(), say, plan.limit)
        case "patterns":
            from evals.bench.kb.pattern_recall import pattern_rows

            return pattern_rows(plan.data, _embedder(), say, plan.limit)
        case "glossary":
            from evals.bench.kb.glossary_recall import glossary_rows

            return glossary_rows(plan.data, _embedder(), say, plan.limit)
        case "gotchas":
            from evals.bench.kb.misspelled import gotcha_rows

            return gotcha_rows(plan.data, say, plan.limit)


@cache
def _embedder() -> SentenceEmbedder:
    return SentenceEmbedder()
