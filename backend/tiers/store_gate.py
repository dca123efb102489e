"""Store gate: which chunks are worth writing to a slower tier.

A write is worth it if the seconds that it is expected to save exceed the seconds that it takes, times a price that
rises as the day's bytes run out:

    expected reuses × (recompute − load) > price × store

What would never be loaded is never written, and what was seen once waits until it is seen again, unless its use case
says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from backend.tiers.profile import Profile
from backend.tiers.sightings import Sighting, Sightings
from backend.tiers.use_case import TierPlan

StoreReason = Literal["worth it", "first seen", "stays in RAM", "recompute is cheaper", "not worth a write", "budget"]


@dataclass(frozen=True)
class StoreDecision:
    """Whether to write a chunk, and why."""

    store: bool
    reason: StoreReason


_YES = StoreDecision(True, "worth it")


def decide_store(
    sighting: Sighting | None,
    plan: TierPlan,
    tier: str,
    sightings: Sightings,
    profile: Profile | None,
    price: float,
    *,
    demoted: bool = False,
) -> StoreDecision:
    """Judge one chunk for `tier`. `demoted` is a chunk that leaves RAM: its session's return counts as a sighting.

    Without a profile, or for a tier that it does not know, only recurrence and the budget decide.
    """
    times = sighting.times if sighting else 1
    if not demoted:
        if plan.after_sightings is None:
            return StoreDecision(False, "stays in RAM")
        if times < plan.after_sightings:
            return StoreDecision(False, "first seen")
    if price == float("inf"):
        return StoreDecision(False, "budget")
    if profile is None or tier not in profile.tiers or sighting is None:
        return _YES
    tokens = sighting.chunks * profile.chunk_tokens
    gain = profile.gain_seconds(tier, tokens) / tokens
    if gain <= 0:
        return StoreDecision(False, "recompute is cheaper")
    expected = max(1.0, sightings.expected_reuses(times)) if demoted else sightings.expected_reuses(times)
    if expected * gain <= price * profile.tiers[tier].store.per_token_seconds:
        return StoreDecision(False, "not worth a write" if price <= 1 else "budget")
    return _YES
