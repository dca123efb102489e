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
from evals.bench.prefix.orders import BASELINES, OURS, PLANNED, SCORE, Order
from evals.bench.prefix.planner_rows import planner_rows
from evals.bench.prefix.played import Played, Player, Say
from evals.bench.prefix.recall import recall_rows
from evals.bench.prefix.request_stream import Request, interleaved, zipf_draw
from evals.bench.prefix.reuse_rows import BOUND, bound_uses, bounding, dialogue_rows, question_rows
from evals.bench.prefix.spider_traffic import Traffic
from evals.bench.remembering import Remembering
from evals.bench.row import Row

ENGINE_BLOCK, CACHE_CHUNK = 16, 256
BLOCK_TOKENS = {ENGINE_BLOCK: "blocks of 16", CACHE_CHUNK: "chunks of 256"}
"""vLLM's prefix cache counts in the first, and keeps the KV of answers; LMCache in the second, of prompts alone."""
PLANNER_BLOCKS = 10_000


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
    player = _Streams(traffic, reach, engine, embedder, say)
    questions = player.play("(a)", streams.questions, baselines=BASELINES)
    questions_planned = player.play("(a), planned", streams.questions, planner=True)
    dialogues = player.play("(b)", streams.dialogues, baselines={SCORE: BASELINES[SCORE]})
    dialogues_planned = player.play("(b), planned", streams.dialogues, planner=True)
    landed = {
        OURS: player.play("(c), warming on", streams.questions, warming=True),
        PLANNED: player.play("(c), warming on, planned", streams.questions, warming=True, planner=True),
        OFF: player.play("(c), warming off", streams.questions, warming=False),
    }
    rows = recall_rows(questions, dialogues) + planner_rows(questions, questions_planned)
    pieces = bounding(questions, engine)
    for block, what in BLOCK_TOKENS.items():
        uses = {order: unlimited(questions, order, block) for order in (OURS, *BASELINES)}
        uses[PLANNED] = unlimited(questions_planned, OURS, block)
        if pieces is not None:
            uses[BOUND] = bound_uses(pieces, uses[OURS], block)
        rows += question_rows(questions, uses, what)
        uses = {order: unlimited(dialogues, order, block) for order in (OURS, SCORE)}
        rows += dialogue_rows(dialogues, {**uses, PLANNED: unlimited(dialogues_planned, OURS, block)}, what)
        if block == ENGINE_BLOCK:
            uses = {order: unlimited(dialogues, order, block, answers=True) for order in (OURS, SCORE)}
            rows += dialogue_rows(dialogues, uses, f"answers cached, {what}")
        uses = {name: unlimited(one, OURS, block) for name, one in landed.items()}
        rows += landing_rows({**uses, NONE: unlimited(questions, OURS, block)}, what)
        rows += _warming_rows(landed[OURS], landed[PLANNED], block, what)
    return rows


@dataclass(frozen=True, slots=True)
class _Streams:
    """Plays each stream to a Kvasir of its own."""

    traffic: Traffic
    reach: Mapping[str, int]
    engine: CountingEngine
    embedder: Remembering
    say: Say

    def play(
        self,
        name: str,
        stream: Sequence[Request],
        *,
        baselines: Mapping[str, Order] | None = None,
        planner: bool = False,
        warming: bool | None = None,
    ) -> list[Played]:
        """`warming` is `None` where nothing lands."""
        with stream_world(
            self.traffic.items,
            self.engine,
            self.embedder,
            reach=self.reach,
            planner_blocks=PLANNER_BLOCKS if planner else 0,
        ) as world:
            before = None if warming is None else Landings(world, stream, warming)
            return Player(world, self.engine, self.say, baselines or {}, before).play(name, stream)


def _warming_rows(warmed: Sequence[Played], planned: Sequence[Played], block: int, what: str) -> list[Row]:
    landings = sum(1 for one in warmed if one.warmed)
    if not landings:
        return []
    ours, theirs = (warmed_tokens(one, OURS, block) / landings for one in (warmed, planned))
    name = f"(c) tokens that warming computes, {what}"
    return [Row(name, ours, "a landing", landings, baseline={PLANNED: theirs})]


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
