"""`kvasir bench prefix`: how much of the prompts is reused, in tokens and by a real engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from evals.bench.learning.engine import SHIPPED_ENGINE, EngineChoice
from evals.bench.learning.kept_pieces import KeptPieces
from evals.bench.prefix.engines import CountingEngine
from evals.bench.prefix.played import Say
from evals.bench.prefix.routing_rows import routing_rows
from evals.bench.prefix.runnable_sets import SETS, SetName, runnable_set
from evals.bench.prefix.spider_traffic import Traffic, spider_traffic
from evals.bench.prefix.token_section import earlier_reach, streams_of, token_rows
from evals.bench.remembering import Remembering
from evals.bench.row import Row
from kb.embedding import Embedder

Section = Literal["tokens", "routing", "engine", "accuracy"]
SECTIONS: tuple[Section, ...] = get_args(Section)


@dataclass(frozen=True, slots=True)
class Plan:
    """`draws` questions are drawn for (a) and (c); `requests` takes so many of each stream, and of each of the
    `sets` of 'accuracy', which `answering` answers; the file `keep` keeps what it said. `model` is a folder: its tokens
    are counted, and the pair serves it."""

    sections: Sequence[Section]
    data: Path
    model: Path
    draws: int = 500
    requests: int | None = None
    sets: Sequence[SetName] = SETS
    answering: EngineChoice = SHIPPED_ENGINE
    keep: Path | None = None


def prefix_rows(plan: Plan, embedder: Embedder, say: Say) -> list[Row]:
    """Raises `BenchUnavailable`."""
    traffic = spider_traffic(plan.data)
    turns = sum(map(len, traffic.dialogues))
    say(
        f"{len(traffic.items)} tables and joins, {len(traffic.questions)} questions, "
        f"{len(traffic.dialogues)} dialogues of {turns} turns"
    )
    remembering = Remembering(embedder)
    engine = CountingEngine(plan.model)
    rows: list[Row] = []
    if {"tokens", "routing", "engine"} & set(plan.sections):
        rows += _reuse(plan, traffic, engine, remembering, say)
    if "accuracy" in plan.sections:
        rows += _accuracy(plan, traffic, engine, remembering, say)
    return rows


def _reuse(plan: Plan, traffic: Traffic, engine: CountingEngine, embedder: Remembering, say: Say) -> list[Row]:
    streams = streams_of(traffic, plan.draws, plan.requests)
    reach = earlier_reach(traffic, streams, engine, embedder, say)
    rows: list[Row] = []
    if "tokens" in plan.sections:
        rows += token_rows(traffic, streams, reach, engine, embedder, say)
    if "routing" in plan.sections:
        rows += routing_rows(traffic, streams, reach, engine, embedder, say)
    if "engine" in plan.sections:
        from evals.bench.prefix.engine_section import engine_rows

        rows += engine_rows(traffic, streams, reach, plan.model, embedder, say)
    return rows


def _accuracy(plan: Plan, traffic: Traffic, engine: CountingEngine, embedder: Remembering, say: Say) -> list[Row]:
    from evals.bench.prefix.accuracy_section import accuracy_rows
    from evals.bench.prefix.greedy_answers import GreedyAnswers

    kept = KeptPieces(plan.keep) if plan.keep is not None else None
    answers = GreedyAnswers(plan.answering, kept, say)
    rows: list[Row] = []
    for name in plan.sets:
        with runnable_set(name, traffic, plan.data, embedder) as asked:
            rows += accuracy_rows(asked, plan.draws, plan.requests, answers, engine, embedder, say)
    return rows
