"""A profile beside the one before it."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from backend.tiers.profile import Profile, Sample


@dataclass(frozen=True)
class Change:
    """One curve at one length, medians in seconds. `ratio` above 1 is slower than before."""

    curve: str
    tokens: int
    before_seconds: float
    after_seconds: float

    @property
    def ratio(self) -> float:
        return self.after_seconds / self.before_seconds


def compare(before: Profile, after: Profile) -> tuple[Change, ...]:
    """Every curve at every length that both measured; nothing where model or chunk differ."""
    if (before.model, before.chunk_tokens) != (after.model, after.chunk_tokens):
        return ()
    old, new = _curves(before), _curves(after)
    changes: list[Change] = []
    for name in new:
        medians = {sample.tokens: median(sample.seconds) for sample in old.get(name, ())}
        changes += [
            Change(name, sample.tokens, medians[sample.tokens], median(sample.seconds))
            for sample in new[name]
            if sample.tokens in medians
        ]
    return tuple(changes)


def _curves(profile: Profile) -> dict[str, tuple[Sample, ...]]:
    curves = {"prefill": profile.prefill_samples}
    for name, tier in profile.tiers.items():
        curves[f"load {name}"] = tier.load_samples
        curves[f"store {name}"] = tier.store_samples
    return curves
