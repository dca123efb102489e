"""`kvasir bench prefix`: how much of the prompts is reused, in tokens and by a real engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from evals.bench.prefix.engines import CountingEngine
from evals.bench.prefix.routing_rows import routing_rows
from evals.bench.prefix.spider_traffic import spider_traffic
from evals.bench.prefix.token_section import earlier_reach, streams_of, token_rows
from evals.bench.remembering import Remembering
from evals.bench.row import Row
from kb.embedding import Embedder

Section = Literal["tokens", "routing", "engine"]
SECTIONS: tuple[Section, ...] = get_args(Section)


@dataclass(frozen=True, slots=True)
class Plan:
    """`draws` questions are drawn for (a) and (c); `requests` takes the first so many of each stream."""

    sections: Sequence[Section]
    data: Path
    model: Path
    draws: int = 500
    requests: int | None = None


def prefix_rows(plan: Plan, embedder: Embedder, say: Callable[[str], None]) -> list[Row]:
    """Raises `BenchUnavailable`."""
    traffic = spider_traffic(plan.data)
    turns = sum(map(len, traffic.dialogues))
    say(
        f"{len(traffic.items)} tables and joins, {len(traffic.questions)} questions, "
        f"{len(traffic.dialogues)} dialogues of {turns} turns"
    )
    streams = streams_of(traffic, plan.draws, plan.requests)
    remembering = Remembering(embedder)
    engine = CountingEngine(plan.model)
    reach = earlier_reach(traffic, streams, engine, remembering, say)
    rows: list[Row] = []
    if "tokens" in plan.sections:
        rows += token_rows(traffic, streams, reach, engine, remembering, say)
    if "routing" in plan.sections:
        rows += routing_rows(traffic, streams, reach, engine, remembering, say)
    if "engine" in plan.sections:
        from evals.bench.prefix.engine_section import engine_rows

        rows += engine_rows(traffic, streams, reach, plan.model, remembering, say)
    return rows
