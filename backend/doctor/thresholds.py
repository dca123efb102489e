"""From when on a loss is worth a finding."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from backend.doctor.readings import Readings
from backend.tiers.profile import Profile

_SHARE_WITHOUT_PROFILE = 0.1
_LEAST_SHARE = 0.05
_LEAST_CHUNKS = 4


@dataclass(frozen=True)
class Limit:
    value: float
    origin: str


def noticeable_share(profile: Profile | None) -> Limit:
    """The share of the computed tokens whose loss is told from noise: twice what equal prompts differed by when the
    machine was profiled.
    """
    spreads = [
        (max(sample.seconds) - min(sample.seconds)) / median(sample.seconds)
        for sample in (profile.prefill_samples if profile else ())
        if len(sample.seconds) > 1
    ]
    if not spreads:
        return Limit(_SHARE_WITHOUT_PROFILE, "a tenth, for want of a profile with repeats")
    spread = 2 * median(spreads)
    if spread < _LEAST_SHARE:
        return Limit(_LEAST_SHARE, "a twentieth; repeats of the profile differ by less than half of it")
    return Limit(min(spread, 0.5), "twice the spread of the profile's repeats, at most a half")


def least_tokens(readings: Readings) -> Limit:
    return Limit(_LEAST_CHUNKS * readings.chunk_tokens, f"{_LEAST_CHUNKS} chunks; less is one short prompt")
