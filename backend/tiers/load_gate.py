"""Load gate: how much of a cached prefix is worth fetching.

LMCache fetches whatever it finds. On an H100 with a disk that reads 1.6 GB/s, that made every prompt from 2K to 30K
tokens 1.6 to 3.5 times slower than computing it anew. Here a prefix is fetched as far as the profile, corrected by
what the tier and the engine do now, says that it saves time, and the engine computes the rest.

Computing takes the engine from every other request that it has, be it in the queue or in the middle of an answer; a
fetch into LMCache's memory keeps one request waiting, and the engine goes on with the others meanwhile. So what is
chosen is the least sum of what all of them wait:

    (1 + others) × (recompute − way from memory to engine) > fetch

With no other request this is load < recompute, and the longer the queue, the further it is fetched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backend.tiers.live_speed import LiveTier
from backend.tiers.profile import RAM, Profile

_CALM = LiveTier()


@dataclass(frozen=True)
class LoadDecision:
    """Fetch the first `chunks` chunks. `for_others` of them would have been computed in an idle engine."""

    chunks: int
    for_others: int = 0


@dataclass(frozen=True)
class LoadCost:
    """Seconds of a load: `fetch_seconds` into LMCache's memory, `engine_seconds` from there into the engine."""

    fetch_seconds: float
    engine_seconds: float

    @property
    def seconds(self) -> float:
        return self.fetch_seconds + self.engine_seconds


def load_cost(profile: Profile, tokens: Mapping[str, float], live: Mapping[str, LiveTier]) -> LoadCost:
    """To fetch `tokens[tier]` tokens of one prefix from each tier.

    The latencies of several tiers overlap, their bytes share the way to the engine. Tiers that the profile does not
    know cost nothing, as in LMCache without a gate.
    """
    latency = fetch_latency = fetch_work = engine_work = 0.0
    for name, count in tokens.items():
        tier = profile.tiers.get(name)
        if tier is None or not count:
            continue
        now = live.get(name, _CALM)
        load, fetch = tier.load, tier.fetch
        excess = (now.slowdown - 1) * fetch.seconds(count)
        waiting = now.slowdown * fetch.per_token_seconds * now.queued_tokens
        # What `load` contains and `fetch` does not is the way to the engine, which no fast tier can undercut.
        to_engine = max(0.0, load.per_token_seconds - fetch.per_token_seconds) * count
        engine_work += to_engine
        fetch_work += max(0.0, load.per_token_seconds * count - to_engine + excess + waiting)
        latency = max(latency, load.constant_seconds)
        fetch_latency = max(fetch_latency, min(fetch.constant_seconds, load.constant_seconds))
    return LoadCost(fetch_latency + fetch_work, latency - fetch_latency + engine_work)


def choose_chunks(
    holders: Sequence[str],
    profile: Profile | None,
    live: Mapping[str, LiveTier] | None = None,
    others: int = 0,
) -> LoadDecision:
    """How many of the leading chunks to fetch; `holders[i]` is the tier that has chunk `i`, and `others` the requests
    that the engine has besides.

    Prefill gets dearer with every token and a transfer does not, but tiers change along the prefix, so every length
    is looked at: a few hundred sums. Without a profile, all of them.
    """
    if profile is None:
        return LoadDecision(len(holders))
    best, most, alone, most_alone = 0, 0.0, 0, 0.0
    tokens: dict[str, float] = {}
    for index, name in enumerate(holders, start=1):
        tokens[name] = tokens.get(name, 0.0) + profile.chunk_tokens
        saved = profile.prefill.saved_seconds(index * profile.chunk_tokens)
        cost = load_cost(profile, tokens, live or {})
        gain = saved - cost.seconds
        if gain > most_alone:
            alone, most_alone = index, gain
        if (shared := gain + others * (saved - cost.engine_seconds)) > most:
            best, most = index, shared
    return LoadDecision(best, best - alone)


def choose_from_ram(
    chunks: int,
    more: int,
    slower: Sequence[str],
    profile: Profile | None,
    live: Mapping[str, LiveTier] | None = None,
    others: int = 0,
) -> int:
    """How many of the leading `chunks` chunks, which lie in RAM, to take, before anybody has looked whether one of the
    `slower` tiers has the `more` chunks after them: as many as pay if it does.
    """
    rests = [[name] * more for name in slower] or [[]]
    return min(chunks, max(choose_chunks([RAM] * chunks + rest, profile, live, others).chunks for rest in rests))


def quickest(names: Sequence[str], profile: Profile | None, live: Mapping[str, LiveTier]) -> str:
    """Which of several tiers that hold one chunk to take it from. `names` is not empty; ties go to the first."""
    if profile is None:
        return names[0]

    def seconds(name: str) -> float:
        return load_cost(profile, {name: profile.chunk_tokens}, live).seconds

    return min(names, key=seconds)
