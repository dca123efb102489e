"""`kvasir bench learning`: its sections, each on a world of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from evals.bench.learning.engine import SHIPPED_ENGINE, EngineChoice
from evals.bench.learning.jobs import Jobs, Say
from evals.bench.learning.kept_pieces import KeptPieces
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
    takes the first questions of each of the `sets` of 'stream', which asks them in `orders` orders; `corrected`,
    `gate` and `verified` are as in `Stream`. `engine` answers; `jobs` processes share the work of a section, and the
    file `keep` keeps what its pieces gave."""

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
    verified: bool = False
    engine: EngineChoice = SHIPPED_ENGINE
    jobs: int = 1
    keep: Path | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """`facts` are what no row has room for, by section."""

    rows: list[Row]
    facts: dict[str, Any]


def measured(plan: Plan, embedder: Embedder, say: Say) -> Measured:
    """Raises `BenchUnavailable`."""
    rows: list[Row] = []
    facts: dict[str, Any] = {}
    kept = KeptPieces(plan.keep) if plan.keep is not None else None
    jobs = Jobs(plan.jobs, embedder, say, kept)
    for section in plan.sections:
        match section:
            case "cost":
                from evals.bench.learning.gate_cost import cost_rows

                rows += cost_rows(jobs, engine=plan.engine, cases=plan.cases, changes=plan.changes)
            case "errors":
                from evals.bench.learning.gate_errors import error_rows

                sizes = {"cases": plan.sampled_cases, "harmless": plan.harmless, "planted": plan.plants}
                rows += error_rows(jobs, engine=plan.engine, **sizes)
            case "poison":
                from evals.bench.learning.poison import poison_rows

                rows += poison_rows(jobs, plan.data, engine=plan.engine, limit=plan.poisoned)
            case "reviewer":
                from evals.bench.learning.review import review_facts, review_rows, reviews

                outcomes = reviews(jobs, engine=plan.engine, confirmations=plan.confirmations, seeds=plan.seeds)
                rows += review_rows(outcomes)
                facts["reviewer"] = review_facts(outcomes)
            case "stream":
                from evals.bench.learning.stream import Stream
                from evals.bench.learning.stream_rows import stream_rows

                first = Stream(plan.sets[0], 0, "on", plan.data, plan.engine, plan.streamed, plan.corrected, plan.gate)
                first = replace(first, verified=plan.verified)
                rows += stream_rows(jobs, sets=plan.sets, orders=plan.orders, like=first)
    if kept is not None:
        facts["pieces_made_on"] = kept.machines
    return Measured(rows, facts)
