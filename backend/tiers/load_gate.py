"""Load gate: how much of a cached prefix is worth fetching.

LMCache fetches whatever it finds. On an H100 with a disk that reads 1.6 GB/s, that made every prompt from 2K to 30K
tokens 1.6 to 3.5 times slower than computing it anew. Here a prefix is fetched as far as the profile, corrected by
what the tier does now, says that it saves time, and the engine computes the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backend.tiers.live_speed import LiveTier
from backend.tiers.profile import RAM, Profile

_CALM = LiveTier()


@dataclass(frozen=True)
class LoadDecision:
    """Fetch the first `chunks` chunks. Both times are estimates for exactly these."""

    chunks: int
    saved_seconds: float
    load_seconds: float


def load_seconds(profile: Profile, tokens: Mapping[str, float], live: Mapping[str, LiveTier]) -> float:
    """Seconds to fetch `tokens[tier]` tokens of one prefix from each tier.

    The latencies of several tiers overlap, their bytes share the way to the engine. Tiers that the profile does not
    know cost nothing, as in LMCache without a gate.
    """
    latency = work = 0.0
    for name, count in tokens.items():
        tier = profile.tiers.get(name)
        if tier is None or not count:
            continue
        now = live.get(name, _CALM)
        fetch = tier.fetch
        excess = (now.slowdown - 1) * fetch.seconds(count)
        waiting = now.slowdown * fetch.per_token_seconds * now.queued_tokens
        # A tier that became fast cannot undercut the rest of the way, which `load` contains and `fetch` does not.
        work += max(0.0, tier.load.per_token_seconds * count + excess + waiting)
        latency = max(latency, tier.load.constant_seconds)
    return latency + work


def choose_chunks(
    holders: Sequence[str], profile: Profile | None, live: Mapping[str, LiveTier] | None = None
) -> LoadDecision:
    """How many of the leading chunks to fetch; `holders[i]` is the tier that has chunk `i`.

    Prefill gets dearer with every token and a transfer does not, but tiers change along the prefix, so every length
    is looked at: a few hundred sums. Without a profile, all of them.
    """
    if profile is None:
        return LoadDecision(len(holders), 0.0, 0.0)
    best = LoadDecision(0, 0.0, 0.0)
    tokens: dict[str, float] = {}
    for index, name in enumerate(holders, start=1):
        tokens[name] = tokens.get(name, 0.0) + profile.chunk_tokens
        saved = profile.prefill.saved_seconds(index * profile.chunk_tokens)
        cost = load_seconds(profile, tokens, live or {})
        if saved - cost > best.saved_seconds - best.load_seconds:
            best = LoadDecision(index, saved, cost)
    return best


def choose_from_ram(
    chunks: int,
    more: int,
    slower: Sequence[str],
    profile: Profile | None,
    live: Mapping[str, LiveTier] | None = None,
) -> int:
    """How many of the leading `chunks` chunks, which lie in RAM, to take, before anybody has looked whether one of the
    `slower` tiers has the `more` chunks after them: as many as pay if it does.
    """
    rests = [[name] * more for name in slower] or [[]]
    return min(chunks, max(choose_chunks([RAM] * chunks + rest, profile, live).chunks for rest in rests))


def quickest(names: Sequence[str], profile: Profile | None, live: Mapping[str, LiveTier]) -> str:
    """Which of several tiers that hold one chunk to take it from. `names` is not empty; ties go to the first."""
    if profile is None:
        return names[0]

    def seconds(name: str) -> float:
        return load_seconds(profile, {name: profile.chunk_tokens}, live)

    return min(names, key=seconds)
