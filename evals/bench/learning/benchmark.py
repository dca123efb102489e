"""`kvasir bench learning`: its sections, each on a world of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from evals.bench.row import Row
from kb.embedding import Embedder

Section = Literal["cost", "errors"]
SECTIONS: tuple[Section, ...] = get_args(Section)


@dataclass(frozen=True, slots=True)
class Plan:
    """`cases` is the size of the large suite, `changes` how many changes it is gated for; `sampled_cases` of a suite
    that is drawn three times at temperature 0.7, for `harmless` changes and `plants`."""

    sections: Sequence[Section]
    cases: int
    changes: int
    sampled_cases: int
    harmless: int
    plants: int


def learning_rows(plan: Plan, embedder: Embedder, say: Callable[[str], None]) -> list[Row]:
    rows: list[Row] = []
    for section in plan.sections:
        match section:
            case "cost":
                from evals.bench.learning.gate_cost import cost_rows

                rows += cost_rows(embedder, say, cases=plan.cases, changes=plan.changes)
            case "errors":
                from evals.bench.learning.gate_errors import error_rows

                rows += error_rows(embedder, say, cases=plan.sampled_cases, harmless=plan.harmless, planted=plan.plants)
    return rows
