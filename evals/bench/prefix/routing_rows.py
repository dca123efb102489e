"""Rows of routing: the streams over four replicas, by the longest prefix and by rules that look at less.

Exact, as the token section is: no engine and no clock. Together the caches hold what the stream has of distinct tokens,
or half of it; each replica holds a fourth of that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evals.bench.prefix.assistant_world import stream_world
from evals.bench.prefix.block_cache import block_chain
from evals.bench.prefix.engines import CountingEngine
from evals.bench.prefix.fleet import RULES, Outage, Prompt, Routed, routed
from evals.bench.prefix.hit_rates import rate, rate_interval, unlimited
from evals.bench.prefix.orders import OURS
from evals.bench.prefix.played import Played, Player, Say
from evals.bench.prefix.spider_traffic import Traffic
from evals.bench.prefix.token_section import Streams
from evals.bench.remembering import Remembering
from evals.bench.row import Row

REPLICAS = 4
BLOCK_TOKENS = 16
SIZES = {1.0: "what is distinct", 0.5: "half of what is distinct"}
_BY_PREFIX = "by prefix"
_ONE = "one unlimited cache"
_GONE = "replica 1"


def routing_rows(
    traffic: Traffic,
    streams: Streams,
    reach: Mapping[str, int],
    engine: CountingEngine,
    embedder: Remembering,
    say: Say,
) -> list[Row]:
    rows: list[Row] = []
    with stream_world(traffic.items, engine, embedder, reach=reach) as world:
        player = Player(world, engine, say)
        for name, stream in (("(a)", streams.questions), ("(b)", streams.dialogues)):
            played = player.play(name, stream)
            prompts = [_prompt(one) for one in played]
            distinct = _distinct_blocks(prompts)
            say(f"{name}: {distinct * BLOCK_TOKENS} distinct tokens in blocks of {BLOCK_TOKENS}")
            one = rate(unlimited(played, OURS, BLOCK_TOKENS))
            for share, what in SIZES.items():
                say(f"{name} over {REPLICAS} replicas that hold {what}")
                rows += _rows(f"{name} over {REPLICAS} replicas that hold {what}", prompts, int(share * distinct), one)
    return rows


def _rows(name: str, prompts: Sequence[Prompt], blocks: int, one: float | None) -> list[Row]:
    outage = Outage(_GONE, len(prompts) // 3, 2 * len(prompts) // 3)
    steady = {rule: _routed(prompts, rule, blocks) for rule in RULES}
    with_outage = {rule: _routed(prompts, rule, blocks, outage) for rule in RULES}
    # After the return, for as long as the outage was: what coming back costs.
    returned = {
        rule: Routed(found.uses[outage.ends : 2 * outage.ends - outage.begins], found.busiest)
        for rule, found in with_outage.items()
    }
    return [
        _hit_rate(f"{name}: hit rate", steady, {_ONE: one} if one is not None else {}),
        _busiest(f"{name}: share of the busiest replica", steady),
        _hit_rate(f"{name}: hit rate with one away for the middle third", with_outage, {}),
        _hit_rate(f"{name}: hit rate in the last third, after it came back empty", returned, {}),
    ]


def _routed(prompts: Sequence[Prompt], rule: str, blocks: int, outage: Outage | None = None) -> Routed:
    return routed(
        prompts,
        RULES[rule],
        replicas=REPLICAS,
        block_tokens=BLOCK_TOKENS,
        capacity_blocks=blocks // REPLICAS,
        outage=outage,
    )


def _hit_rate(name: str, found: Mapping[str, Routed], bound: Mapping[str, float]) -> Row:
    others = {rule: value for rule in found if rule != _BY_PREFIX and (value := rate(found[rule].uses)) is not None}
    ours = found[_BY_PREFIX].uses
    return Row(name, rate(ours), "share", len(ours), rate_interval(ours), {**others, **bound})


def _busiest(name: str, found: Mapping[str, Routed]) -> Row:
    others = {rule: one.busiest for rule, one in found.items() if rule != _BY_PREFIX}
    ours = found[_BY_PREFIX]
    return Row(name, ours.busiest, "share", len(ours.uses), None, others)


def _prompt(played: Played) -> Prompt:
    sent = played.sent[OURS]
    assert sent.tokens is not None, "an engine that keeps no cache tells its tokens"
    return Prompt(played.prepared.prompt.messages, sent.cache_salt, sent.tokens)


def _distinct_blocks(prompts: Sequence[Prompt]) -> int:
    return len({block for prompt in prompts for block in block_chain(prompt.tokens, BLOCK_TOKENS)})
