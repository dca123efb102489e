"""The load gate beside the two things it chooses between: to load a cached prefix always, and to compute it always.

In each repeat, at each length and for each tier a new prompt is asked cold (that is recomputing); then, with its KV in
that tier alone, once with the gates as they ship and once with them off, in alternating order. Where it takes long to
get a prompt into a tier, one prompt serves for several pairs, each of which has a cold prompt of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backend.benching.asking import COLD, RAM, Answer, Asker, asking
from backend.benching.figure import Skipped
from backend.benching.target import SESSION, Progress, SlowTier, Target

_FRESH = f"{SESSION}-fresh"


@dataclass(frozen=True)
class GateSample:
    """Seconds to the first token of one prompt, measured side by side. `load` is `None` where it was left out.

    `gate_tokens` are those that were loaded with the gates as they ship.
    """

    tier: str
    tokens: int
    recompute: float
    gate: float
    load: float | None
    gate_tokens: int


@dataclass(frozen=True)
class GatePlan:
    """`pairs` are of each prompt. The first of them has loading always beside it, in `load_repeats` of the repeats."""

    lengths: Sequence[int]
    repeats: int
    pairs: int = 1
    load_repeats: int | None = None
    with_ram: bool = True


def measure_gate(target: Target, plan: GatePlan, on_progress: Progress) -> list[GateSample]:
    found: list[GateSample] = []
    tiers: list[SlowTier | None] = [None] if plan.with_ram else []
    tiers += [tier for tier in target.tiers if tier.role not in target.missing]
    with asking(target) as asker, target.gates(load=False, store=False):
        on_progress("gate: warming up")
        asker.learn_kv_bytes()
        for length in sorted({min(plan.lengths), max(plan.lengths)}):
            _one(asker, None, length, pairs=1, with_load=True, gate_first=True)
        for repeat in range(plan.repeats):
            with_load = plan.load_repeats is None or repeat < plan.load_repeats
            for length in plan.lengths:
                for tier in tiers:
                    name = tier.name if tier else RAM
                    on_progress(f"gate: repeat {repeat + 1} of {plan.repeats}, {length} tokens, {name}")
                    first = repeat % 2 == 0
                    found += _one(asker, tier, length, pairs=plan.pairs, with_load=with_load, gate_first=first)
    return found


def gate_missing(target: Target) -> Skipped | None:
    """Why there is no gate to measure, if so."""
    for need in ("policies", RAM):
        if need in target.missing:
            return Skipped("gate", target.missing[need])
    if not target.profiled:
        return Skipped("gate", "without a profile the gate loads all; measure one with 'kvasir backend profile'")
    return None


def _one(
    asker: Asker, tier: SlowTier | None, tokens: int, *, pairs: int, with_load: bool, gate_first: bool
) -> list[GateSample]:
    """The pairs of one new prompt."""
    target = asker.target
    prompt = target.prompts.beyond(tokens)
    asker.note(prompt, tier.use_case if tier else "code")
    mark = asker.store_mark()
    recompute = asker.ask_from(COLD, prompt)
    asker.empty_engine()
    if written_to := tier or next((one for one in target.tiers if one.role == "disk"), None):
        asker.await_stored(written_to, tokens, mark)
    found: list[GateSample] = []
    for pair in range(pairs):
        if pair and not gate_first:
            recompute = _recompute(asker, tokens)
        load = _load(asker, tier, prompt) if with_load and not pair and not gate_first else None
        answer = _gated(asker, tier, prompt)
        if pair and gate_first:
            recompute = _recompute(asker, tokens)
        if with_load and not pair and gate_first:
            load = _load(asker, tier, prompt)
        name = tier.name if tier else RAM
        found.append(GateSample(name, tokens, recompute, answer.seconds, load, answer.handed_tokens))
        gate_first = not gate_first
    asker.forget_session()
    asker.forget_files(mark)
    return found


def _gated(asker: Asker, tier: SlowTier | None, prompt: list[int]) -> Answer:
    _place(asker, tier)
    with asker.target.gates(load=True, store=True):
        answer = asker.ask(prompt)
        # Here, so that what the engine hands over meanwhile meets the gates as they ship.
        asker.empty_engine()
    return answer


def _recompute(asker: Asker, tokens: int) -> float:
    """Of a prompt of its own, which the store gate does not have written."""
    prompt = asker.target.prompts.beyond(tokens)
    asker.note(prompt, "code", _FRESH)
    with asker.target.gates(load=True, store=True):
        seconds = asker.ask_from(COLD, prompt)
        asker.empty_engine()
    asker.forget_session(_FRESH)
    return seconds


def _load(asker: Asker, tier: SlowTier | None, prompt: list[int]) -> float:
    _place(asker, tier)
    return asker.ask_from(tier.name if tier else RAM, prompt)


def _place(asker: Asker, tier: SlowTier | None) -> None:
    if tier is None:
        asker.empty_engine()
    else:
        asker.leave_only(tier)
