"""The streams on the real pair: what vLLM and LMCache say that they reused, and the time to the first token.

Both orders go to one engine in turns, under cache salts of their own, so that each finds only what it left itself and
what is slow is slow for both. The pair's memory is bounded, and the orders share it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from backend.client import EngineConfig, connect
from backend.plan import LaunchPlan
from evals.bench.bootstrap import RESAMPLES
from evals.bench.errors import EngineFailed
from evals.bench.prefix.assistant_world import stream_world
from evals.bench.prefix.engines import OneTokenEngine
from evals.bench.prefix.hit_rates import Use
from evals.bench.prefix.landing_rows import NONE, OFF, landing_rows
from evals.bench.prefix.landings import Landings
from evals.bench.prefix.orders import OURS, SCORE, Order, by_score
from evals.bench.prefix.played import Played, Player, Say
from evals.bench.prefix.request_stream import Request
from evals.bench.prefix.reuse_rows import asked_first, dialogue_rows, question_rows
from evals.bench.prefix.spider_traffic import Traffic
from evals.bench.prefix.started_pair import started_pair
from evals.bench.prefix.token_section import Streams
from evals.bench.remembering import Remembering
from evals.bench.row import Asked, Row

WARM_SECONDS = 30.0
"""For one landing, as `warm_seconds` in kvasir.toml; requests wait for it."""
_WHAT = "vLLM + LMCache"
_TOLD_EVERY = 25
_SEED = 7


def engine_rows(
    traffic: Traffic, streams: Streams, reach: Mapping[str, int], model: Path, embedder: Remembering, say: Say
) -> list[Row]:
    """Raises `EngineUnavailable`, `EngineFailed`."""
    with started_pair(model, say) as pair:
        asking = _Asking(pair, traffic, reach, embedder, say)
        beside = {SCORE: by_score}
        questions = asking.play("a", streams.questions, baselines=beside)
        dialogues = asking.play("b", streams.dialogues, baselines=beside)
        warmed = asking.play("c-on", streams.questions, warming=True)
        cold = asking.play("c-off", streams.questions, warming=False)
    rows = question_rows(questions, {order: told(questions, order) for order in (OURS, SCORE)}, _WHAT)
    rows += dialogue_rows(dialogues, {order: told(dialogues, order) for order in (OURS, SCORE)}, _WHAT)
    landed = {OURS: told(warmed, OURS), OFF: told(cold, OURS), NONE: told(questions, OURS)}
    rows += landing_rows(landed, _WHAT)
    new = [questions[number] for number in asked_first(questions)]
    asked = Asked(at_most=0.6)
    return [
        *rows,
        ttft_row("(a)", questions, asked),
        ttft_row("(a) questions that were not asked before:", new),
        ttft_row("(b)", dialogues, asked),
    ]


class _Asking:
    """Plays streams to the pair, each as a tenant of its own."""

    def __init__(
        self, pair: LaunchPlan, traffic: Traffic, reach: Mapping[str, int], embedder: Remembering, say: Say
    ) -> None:
        self._pair, self._traffic, self._reach, self._embedder, self._say = pair, traffic, reach, embedder, say

    def play(
        self,
        name: str,
        stream: Sequence[Request],
        *,
        baselines: Mapping[str, Order] | None = None,
        warming: bool | None = None,
    ) -> list[Played]:
        """`warming` is `None` where nothing lands."""
        config = EngineConfig(
            "main", f"hosted_vllm/{self._pair.served_name}", api_base=self._pair.api_base, lmcache=True
        )
        engine = OneTokenEngine(connect(config))
        with stream_world(
            self._traffic.items,
            engine,
            self._embedder,
            tenant=f"bench-{name}",
            reach=self._reach,
            cache_url=self._pair.cache_url,
        ) as world:
            before = None if warming is None else Landings(world, stream, warming, seconds=WARM_SECONDS)
            player = Player(world, engine, self._say, baselines or {}, before, _TOLD_EVERY)
            return player.play(f"({name})", stream)


def told(played: Sequence[Played], order: str) -> list[Use]:
    """What the engine counted. Raises `EngineFailed` where it does not tell."""
    uses = []
    for one in played:
        usage = one.sent[order].usage
        if usage is None or usage.cached_tokens is None:
            raise EngineFailed("the engine does not tell what it reused of a prompt")
        uses.append(Use(usage.cached_tokens, usage.prompt_tokens))
    return uses


def ttft_row(stream: str, played: Sequence[Played], asked: Asked | None = None) -> Row:
    """The ratio of the medians; a request is drawn with both of its times."""
    name = f"{stream} median TTFT, ours ÷ order by score"
    times = [(one.sent[OURS].ttft_seconds, one.sent[SCORE].ttft_seconds) for one in played]
    pairs = np.array([pair for pair in times if None not in pair], dtype=np.float64)
    if not len(pairs):
        return Row(name, None, "", 0, asked=asked)
    ours, theirs = np.median(pairs, axis=0)
    drawn = pairs[np.random.default_rng(_SEED).integers(0, len(pairs), (RESAMPLES, len(pairs)))]
    medians = np.median(drawn, axis=1)
    low, high = np.quantile(medians[:, 0] / medians[:, 1], [0.025, 0.975])
    seconds = {"seconds, ours": float(ours), "seconds, by score": float(theirs)}
    return Row(name, float(ours / theirs), "", len(pairs), (float(low), float(high)), seconds, asked)
