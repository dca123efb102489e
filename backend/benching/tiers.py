"""Seconds to the first token from each place, by length: cold, the engine's own cache, LMCache's memory, disk, network.

In each repeat and at each length a prompt that nobody has seen is asked cold and then from place after place, so that
every hit has a cold prompt of its own beside it. The load gate is off: a row measures its place, not a decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backend.benching.asking import COLD, ENGINE, RAM, Asker, asking
from backend.benching.figure import Skipped
from backend.benching.target import Progress, SlowTier, Target

RESTARTED = "restarted"
"""The place of a prompt that lies in RAM when the engine comes back."""
_TITLES = {
    ENGINE: "the engine's own cache",
    RAM: "RAM",
    "shared": "network",
    RESTARTED: "RAM after a restart of the engine",
}
_BEFORE = "kvasir-bench-"


@dataclass(frozen=True)
class Sample:
    """One hit, and the cold prompt of the same length beside it."""

    place: str
    tokens: int
    seconds: float
    cold_seconds: float


def place_title(place: str) -> str:
    """For people; tiers keep the name that the launch gave them."""
    return _TITLES.get(place, place)


def measure_tiers(target: Target, lengths: Sequence[int], repeats: int, on_progress: Progress) -> list[Sample]:
    found: list[Sample] = []
    slow = [tier for tier in target.tiers if tier.name not in target.missing and tier.role not in target.missing]
    with asking(target) as asker, target.gates(load=False, store=False):
        on_progress("tiers: warming up")
        asker.learn_kv_bytes()
        for length in sorted({min(lengths), max(lengths)}):
            _one(asker, slow[0] if slow else None, length)
        for repeat in range(repeats):
            for length in lengths:
                on_progress(f"tiers: repeat {repeat + 1} of {repeats}, {length} tokens")
                found += _one(asker, slow[0] if slow else None, length)
                for tier in slow[1:]:
                    found += _one(asker, tier, length, only_tier=True)
        if target.restart is not None:
            found += _restarted(asker, slow, lengths, repeats, on_progress)
    return found


def skipped_tiers(target: Target) -> list[Skipped]:
    return [Skipped(f"tiers: {place}", reason) for place, reason in target.missing.items() if place != "policies"]


def _one(asker: Asker, tier: SlowTier | None, tokens: int, *, only_tier: bool = False) -> list[Sample]:
    """All places of one new prompt; with `only_tier`, its slower tier alone."""
    target = asker.target
    prompt = target.prompts.beyond(tokens)
    asker.note(prompt, tier.use_case if tier else "code")
    mark = asker.store_mark()
    cold = asker.ask_from(COLD, prompt)
    seconds: dict[str, float] = {}
    if not only_tier:
        seconds[ENGINE] = asker.ask_from(ENGINE, prompt)
    if RAM not in target.missing:
        asker.empty_engine()
        if not only_tier:
            seconds[RAM] = asker.ask_from(RAM, prompt)
    if tier is not None:
        asker.await_stored(tier, tokens, mark)
        asker.leave_only(tier)
        seconds[tier.name] = asker.ask_from(tier.name, prompt)
        asker.empty_engine()
    asker.forget_session()
    asker.forget_files(mark)
    return [Sample(place, tokens, taken, cold) for place, taken in seconds.items()]


def _cold(asker: Asker, slow: Sequence[SlowTier], tokens: int) -> float:
    """Of a new prompt. Returns when what it stored is written, so that this does not disturb what comes next."""
    prompt = asker.target.prompts.beyond(tokens)
    asker.note(prompt, slow[0].use_case if slow else "code")
    mark = asker.store_mark()
    seconds = asker.ask_from(COLD, prompt)
    asker.empty_engine()
    for tier in slow[:1]:
        asker.await_stored(tier, tokens, mark)
    asker.forget_session()
    return seconds


def _restarted(
    asker: Asker, slow: Sequence[SlowTier], lengths: Sequence[int], repeats: int, on_progress: Progress
) -> list[Sample]:
    """Prompts of before a restart of the engine, each beside a cold one of after it."""
    target = asker.target
    assert target.restart is not None
    mark = asker.store_mark()
    prompts = [(length, target.prompts.beyond(length)) for _ in range(repeats) for length in lengths]
    for number, (length, prompt) in enumerate(prompts, start=1):
        on_progress(f"tiers: prompt {number} of {len(prompts)} before the restart, {length} tokens")
        asker.note(prompt, slow[0].use_case if slow else "code", f"{_BEFORE}{number}")
        asker.ask_from(COLD, prompt)
    asker.empty_engine()
    target.restart()
    # The engine's first request after a start takes longer, whatever it asks.
    for length in sorted({min(lengths), max(lengths)}):
        asker.ask(target.prompts.beyond(length))
    found: list[Sample] = []
    for number, (length, prompt) in enumerate(prompts, start=1):
        on_progress(f"tiers: prompt {number} of {len(prompts)} after the restart, {length} tokens")
        hit = asker.ask_from(RAM, prompt)
        asker.forget_session(f"{_BEFORE}{number}")
        found.append(Sample(RESTARTED, length, hit, _cold(asker, slow, length)))
    asker.forget_files(mark)
    return found
