"""The streams in tokens, without an engine: what an unlimited prefix cache would have reused of every prompt.

Exact: the same data and model folder give the same figures on any machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evals.bench.prefix.assistant_world import StreamWorld, stream_world
from evals.bench.prefix.engines import CountingEngine
from evals.bench.prefix.hit_rates import unlimited, warmed_tokens
from evals.bench.prefix.landing_rows import NONE, OFF, landing_rows
from evals.bench.prefix.landings import Landings
from evals.bench.prefix.orders import BASELINES, OURS, SCORE
from evals.bench.prefix.played import Played, Player, Say
from evals.bench.prefix.recall import recall_rows
from evals.bench.prefix.request_stream import Request, interleaved, zipf_draw
from evals.bench.prefix.reuse_rows import BOUND, bound_uses, bounding, dialogue_rows, question_rows
from evals.bench.prefix.spider_traffic import Traffic
from evals.bench.remembering import Remembering
from evals.bench.row import Row

BLOCK_TOKENS = {16: "blocks of 16", 256: "chunks of 256"}
"""vLLM's prefix cache counts in the first, LMCache in the second."""


@dataclass(frozen=True, slots=True)
class Streams:
    """`earlier` is what was asked before: reach is frozen on it, and no figure counts it."""

    earlier: Sequence[Request]
    questions: Sequence[Request]
    dialogues: Sequence[Request]


def streams_of(traffic: Traffic, requests: int, first: int | None = None) -> Streams:
    """`requests` are drawn for each stream of questions; `first` takes the first so many of those that are measured."""
    return Streams(
        zipf_draw(traffic.questions, requests, "earlier"),
        zipf_draw(traffic.questions, requests, "measured")[:first],
        interleaved(traffic.dialogues, "measured")[:first],
    )


def token_rows(
    traffic: Traffic,
    streams: Streams,
    reach: Mapping[str, int],
    engine: CountingEngine,
    embedder: Remembering,
    say: Say,
) -> list[Row]:
    with stream_world(traffic.items, engine, embedder, reach=reach) as world:
        questions = Player(world, engine, say, BASELINES).play("(a)", streams.questions)
        dialogues = Player(world, engine, say, {SCORE: BASELINES[SCORE]}).play("(b)", streams.dialogues)
    landed: dict[bool, list[Played]] = {}
    for warming in (True, False):
        with stream_world(traffic.items, engine, embedder, reach=reach) as world:
            landings = Landings(world, streams.questions, warming)
            name = f"(c), warming {'on' if warming else 'off'}"
            landed[warming] = Player(world, engine, say, before=landings).play(name, streams.questions)
    rows = recall_rows(questions, dialogues)
    pieces = bounding(questions, engine)
    for block, what in BLOCK_TOKENS.items():
        uses = {order: unlimited(questions, order, block) for order in (OURS, *BASELINES)}
        if pieces is not None:
            uses[BOUND] = bound_uses(pieces, uses[OURS], block)
        rows += question_rows(questions, uses, what)
        rows += dialogue_rows(dialogues, {order: unlimited(dialogues, order, block) for order in (OURS, SCORE)}, what)
        with_and_without = {OURS: landed[True], OFF: landed[False], NONE: questions}
        rows += landing_rows({name: unlimited(one, OURS, block) for name, one in with_and_without.items()}, what)
        rows += _warming_rows(landed[True], block, what)
    return rows


def _warming_rows(warmed: Sequence[Played], block: int, what: str) -> list[Row]:
    landings = sum(1 for one in warmed if one.warmed)
    if not landings:
        return []
    computed = warmed_tokens(warmed, OURS, block) / landings
    return [Row(f"(c) tokens that warming computes, {what}", computed, "a landing", landings)]


def earlier_reach(
    traffic: Traffic, streams: Streams, engine: CountingEngine, embedder: Remembering, say: Say
) -> Mapping[str, int]:
    """What `kvasir kb reach` freezes after the earlier requests."""
    with stream_world(traffic.items, engine, embedder) as world:
        _embed(world, streams, embedder)
        Player(world, engine, say).play("earlier requests", streams.earlier)
        return world.frozen_reach()


def _embed(world: StreamWorld, streams: Streams, embedder: Remembering) -> None:
    """What retrieval will embed, all at once, which is several times faster than one by one."""
    asked = {one.question for one in (*streams.earlier, *streams.questions, *streams.dialogues)}
    masked = {world.core.retriever.mask(world.base, question).text for question in asked}
    embedder.embed(sorted(asked | masked))
