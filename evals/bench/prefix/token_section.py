"""The streams in tokens, without an engine: what an unlimited prefix cache would have reused of every prompt.

Exact: the same data and model folder give the same figures on any machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evals.bench.bootstrap import mean_interval
from evals.bench.prefix.assistant_world import StreamWorld, stream_world
from evals.bench.prefix.bound import best_order_hits
from evals.bench.prefix.engines import CountingEngine
from evals.bench.prefix.hit_rates import (
    Use,
    computed,
    rate,
    rate_interval,
    ratio,
    ratio_interval,
    unlimited,
    warmed_tokens,
)
from evals.bench.prefix.landings import EVERY, Landings
from evals.bench.prefix.orders import BASELINES, OURS, SCORE
from evals.bench.prefix.played import Played, Player, Say
from evals.bench.prefix.prompt_pieces import pieces_of
from evals.bench.prefix.request_stream import Request, interleaved, zipf_draw
from evals.bench.prefix.spider_traffic import Traffic
from evals.bench.remembering import Remembering
from evals.bench.row import Asked, Row

BLOCK, CHUNK = 16, 256
BLOCK_TOKENS = {BLOCK: "blocks of 16", CHUNK: "chunks of 256"}
"""vLLM's prefix cache counts in the first, LMCache in the second."""
BOUND, OFF, NONE = "bound", "warming off", "no landing"
BEST = "best order"


@dataclass(frozen=True, slots=True)
class Streams:
    """`earlier` is what was asked before: reach is frozen on it, and no figure counts it."""

    earlier: Sequence[Request]
    questions: Sequence[Request]
    dialogues: Sequence[Request]


def streams_of(traffic: Traffic, requests: int, first: int | None = None) -> Streams:
    """`requests` are drawn for each stream of questions; `first` takes the first so many of each stream."""
    return Streams(
        zipf_draw(traffic.questions, requests, "earlier")[:first],
        zipf_draw(traffic.questions, requests, "measured")[:first],
        interleaved(traffic.dialogues, "measured")[:first],
    )


def token_rows(traffic: Traffic, streams: Streams, model: Path, embedder: Remembering, say: Say) -> list[Row]:
    """Raises `ModelUnavailable`."""
    engine = CountingEngine(model)
    reach = earlier_reach(traffic, streams, engine, embedder, say)
    with stream_world(traffic.items, engine, embedder, reach=reach) as world:
        questions = Player(world, engine, say, BASELINES).play("(a)", streams.questions)
        dialogues = Player(world, engine, say, {SCORE: BASELINES[SCORE]}).play("(b)", streams.dialogues)
    landed: dict[bool, list[Played]] = {}
    for warming in (True, False):
        with stream_world(traffic.items, engine, embedder, reach=reach) as world:
            landings = Landings(world, streams.questions, warming)
            name = f"(c), warming {'on' if warming else 'off'}"
            landed[warming] = Player(world, engine, say, before=landings).play(name, streams.questions)
    rows = recall_rows(questions)
    for block in BLOCK_TOKENS:
        rows += _question_rows(questions, engine, block)
        rows += _dialogue_rows(dialogues, block)
        rows += _landing_rows(landed, questions, block)
    return rows


def earlier_reach(
    traffic: Traffic, streams: Streams, engine: CountingEngine, embedder: Remembering, say: Say
) -> Mapping[str, int]:
    with stream_world(traffic.items, engine, embedder) as world:
        _embed(world, streams, embedder)
        Player(world, engine, say).play("earlier requests", streams.earlier)
        return world.frozen_reach()


def _embed(world: StreamWorld, streams: Streams, embedder: Remembering) -> None:
    """What retrieval will embed, all at once, which is several times faster than one by one."""
    asked = {one.question for one in (*streams.earlier, *streams.questions, *streams.dialogues)}
    masked = {world.core.retriever.mask(world.base, question).text for question in asked}
    embedder.embed(sorted(asked | masked))


def recall_rows(played: Sequence[Played]) -> list[Row]:
    """The tables that a question needs, in its prompt; and that the prompts of all orders say the same."""
    found = [
        _share(one.request.needed, {part.item for part in one.prepared.prompt.parts if part.item is not None})
        for one in played
    ]
    by_score = [_share(one.request.needed, {hit.item.id for hit in one.prepared.retrieval.hits}) for one in played]
    rows = [
        Row(
            "(a) needed tables in the prompt",
            float(np.mean(found)),
            "share",
            len(found),
            mean_interval(found),
            {SCORE: float(np.mean(by_score))},
            Asked(at_least=float(np.mean(by_score))),
        )
    ]
    same = [_same_tokens(one, SCORE) for one in played]
    known = [one for one in same if one is not None]
    if known:
        name = "(a) prompts that hold the tokens of the order by score"
        rows.append(Row(name, float(np.mean(known)), "share", len(known), asked=Asked(at_least=1.0)))
    return rows


def _share(needed: frozenset[str], present: set[str]) -> float:
    return len(needed & present) / len(needed)


def _same_tokens(played: Played, order: str) -> bool | None:
    ours, theirs = played.sent[OURS].tokens, played.sent[order].tokens
    if ours is None or theirs is None:
        return None
    return bool(np.array_equal(np.sort(ours), np.sort(theirs)))


def _question_rows(played: Sequence[Played], engine: CountingEngine, block: int) -> list[Row]:
    what = BLOCK_TOKENS[block]
    uses = {order: unlimited(played, order, block) for order in (OURS, *BASELINES)}
    pieces = [pieces_of(one.prepared.prompt, engine) for one in played]
    known = [one for one in pieces if one is not None]
    if len(known) == len(pieces):
        hits = best_order_hits(known, block)
        uses[BOUND] = [Use(hit, use.tokens) for hit, use in zip(hits, uses[OURS], strict=True)]
    rows = [hit_rate_row(f"(a) hit rate, {what}", uses)]
    rows.append(ratio_row(f"(a) ours ÷ order by score, {what}", uses[OURS], uses[SCORE], Asked(at_least=1.5)))
    if BOUND in uses:
        rows.append(ratio_row(f"(a) ours ÷ bound, {what}", uses[OURS], uses[BOUND], Asked(at_least=0.9)))
        rows.append(ratio_row(f"(a) bound ÷ order by score, {what}", uses[BOUND], uses[SCORE]))
    rows.append(computed_row(f"(a) tokens to compute, {what}", uses))
    return rows


def _dialogue_rows(played: Sequence[Played], block: int) -> list[Row]:
    what = BLOCK_TOKENS[block]
    later = [number for number, one in enumerate(played) if one.request.turn > 0]
    uses = {}
    for order in (OURS, SCORE):
        of_all = unlimited(played, order, block)
        uses[order] = [of_all[number] for number in later]
    return [
        hit_rate_row(f"(b) hit rate from the second turn on, {what}", uses, Asked(at_least=0.9)),
        computed_row(f"(b) tokens to compute from the second turn on, {what}", uses),
    ]


def _landing_rows(landed: Mapping[bool, Sequence[Played]], unchanged: Sequence[Played], block: int) -> list[Row]:
    """`unchanged` are the same requests without landings."""
    what = BLOCK_TOKENS[block]
    uses = {name: unlimited(played, OURS, block) for name, played in _landed_or_not(landed, unchanged).items()}
    ratios = {name: before_and_after(of_one) for name, of_one in uses.items()}
    on, n = ratios["warming on"], len(ratios["warming on"])
    if not n:
        return []
    others = {name: float(np.mean(ratios[name])) for name in (OFF, NONE)}
    name = f"(c) hit rate after a landing ÷ before it, {what}"
    rows = [Row(name, float(np.mean(on)), "", n, mean_interval(on), others, Asked(at_least=0.95))]
    after = {name: of_one[EVERY:] for name, of_one in uses.items()}
    rows.append(hit_rate_row(f"(c) hit rate after landings, {what}", {OURS: after["warming on"], **_rest(after)}))
    warmed = warmed_tokens(landed[True], OURS, block) / n
    rows.append(Row(f"(c) tokens that warming computes, {what}", warmed, "a landing", n))
    return rows


def _landed_or_not(landed: Mapping[bool, Sequence[Played]], unchanged: Sequence[Played]) -> dict[str, Sequence[Played]]:
    return {"warming on": landed[True], OFF: landed[False], NONE: unchanged}


def _rest(after: Mapping[str, Sequence[Use]]) -> dict[str, Sequence[Use]]:
    return {name: uses for name, uses in after.items() if name != "warming on"}


def before_and_after(uses: Sequence[Use], every: int = EVERY) -> list[float]:
    """For each landing, the hit rate of the `every` requests after it ÷ of those before it."""
    ratios = []
    for at in range(every, len(uses) - every + 1, every):
        value = ratio(uses[at : at + every], uses[at - every : at])
        if value is not None:
            ratios.append(value)
    return ratios


def hit_rate_row(name: str, uses: Mapping[str, Sequence[Use]], asked: Asked | None = None) -> Row:
    others = {other: value for other in uses if other != OURS and (value := rate(uses[other])) is not None}
    ours = uses[OURS]
    return Row(name, rate(ours), "share", len(ours), rate_interval(ours), others, asked)


def ratio_row(name: str, ours: Sequence[Use], theirs: Sequence[Use], asked: Asked | None = None) -> Row:
    return Row(name, ratio(ours, theirs), "", len(ours), ratio_interval(ours, theirs), asked=asked)


def computed_row(name: str, uses: Mapping[str, Sequence[Use]]) -> Row:
    others = {other: value for other in uses if other != OURS and (value := computed(uses[other])) is not None}
    return Row(name, computed(uses[OURS]), "a request", len(uses[OURS]), baseline=others)
