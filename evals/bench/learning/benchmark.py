"""`kvasir bench learning`: its sections, each on a world of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from evals.bench.learning.engine import SHIPPED_ENGINE, EngineChoice
from evals.bench.learning.jobs import Say
from evals.bench.learning.stream_set import SETS, SetName
from evals.bench.row import Row
from kb.embedding import Embedder

Section = Literal["cost", "errors", "poison", "reviewer", "stream"]
SECTIONS: tuple[Section, ...] = get_args(Section)


@dataclass(frozen=True, slots=True)
class Plan:
    """`cases` is the size of the large suite, `changes` how many changes it is gated for; `sampled_cases` of a suite
    that is drawn three times at temperature 0.7, for `harmless` changes and `plants`; `poisoned` takes the first
    questions of 'poison'; `confirmations` are those of a stream of 'reviewer', of which there are `seeds`; `streamed`
    takes the first questions of each of the `sets` of 'stream', which asks them in `orders` orders; `corrected` and
    `gate` are as in `Stream`. `engine` answers; `jobs` processes share the work of a section."""

    sections: Sequence[Section]
    data: Path
    cases: int
    changes: int
    sampled_cases: int
    harmless: int
    plants: int
    poisoned: int | None = None
    confirmations: int = 1_000
    seeds: int = 1
    sets: Sequence[SetName] = SETS
    orders: int = 5
    streamed: int | None = None
    corrected: float = 0.5
    gate: bool = True
    engine: EngineChoice = SHIPPED_ENGINE
    jobs: int = 1


@dataclass(frozen=True, slots=True)
class Measured:
    """`facts` are what no row has room for, by section."""

    rows: list[Row]
    facts: dict[str, Any]


def measured(plan: Plan, embedder: Embedder, say: Say) -> Measured:
    rows: list[Row] = []
    facts: dict[str, Any] = {}
    for section in plan.sections:
        match section:
            case "cost":
                from evals.bench.learning.gate_cost import cost_rows

                rows += cost_rows(
                    embedder, say, engine=plan.engine, cases=plan.cases, changes=plan.changes, jobs=plan.jobs
                )
            case "errors":
                from evals.bench.learning.gate_errors import error_rows

                rows += error_rows(
                    embedder,
                    say,
                    engine=plan.engine,
                    cases=plan.sampled_cases,
                    harmless=plan.harmless,
                    planted=plan.plants,
                    jobs=plan.jobs,
                )
            case "poison":
                from evals.bench.learning.poison import poison_rows

                rows += poison_rows(plan.data, embedder, say, engine=plan.engine, limit=plan.poisoned, jobs=plan.jobs)
            case "reviewer":
                from evals.bench.learning.review import review_facts, review_rows, reviews

                outcomes = reviews(
                    embedder,
                    say,
                    engine=plan.engine,
                    confirmations=plan.confirmations,
                    seeds=plan.seeds,
                    jobs=plan.jobs,
                )
                rows += review_rows(outcomes)
                facts["reviewer"] = review_facts(outcomes)
            case "stream":
                from evals.bench.learning.stream import Stream
                from evals.bench.learning.stream_rows import stream_rows

                first = Stream(plan.sets[0], 0, "on", plan.data, plan.engine, plan.streamed, plan.corrected, plan.gate)
                rows += stream_rows(embedder, say, sets=plan.sets, orders=plan.orders, like=first, jobs=plan.jobs)
    return Measured(rows, facts)
