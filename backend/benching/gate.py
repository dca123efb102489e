"""The load gate beside the two things it chooses between: to load a cached prefix always, and to compute it always.

In each repeat, at each length and for each tier a new prompt is asked cold (that is recomputing); then, with its KV in
that tier alone, once with the gates as they ship and once with them off, in alternating order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from backend.benching.asking import COLD, RAM, Asker
from backend.benching.figure import Skipped
from backend.benching.target import Progress, SlowTier, Target


@dataclass(frozen=True)
class GateSample:
    """Seconds to the first token of one prompt. `load` is `None` in repeats without it. `gate_tokens` were loaded."""

    tier: str
    tokens: int
    recompute: float
    gate: float
    load: float | None
    gate_tokens: int


def measure_gate(
    target: Target,
    lengths: Sequence[int],
    repeats: int,
    on_progress: Progress,
    *,
    load_repeats: int | None = None,
    with_ram: bool = True,
) -> list[GateSample]:
    """`load_repeats` bounds how often loading always is measured, which takes long from a slow tier."""
    asker = Asker(target)
    found: list[GateSample] = []
    tiers: list[SlowTier | None] = [None] if with_ram else []
    tiers += [tier for tier in target.tiers if tier.role not in target.missing]
    turn = count()
    with target.gates(load=False, store=False):
        on_progress("gate: warming up")
        asker.learn_kv_bytes()
        for length in sorted({min(lengths), max(lengths)}):
            _one(asker, None, length, with_load=True, gate_first=True)
        for repeat in range(repeats):
            with_load = load_repeats is None or repeat < load_repeats
            for length in lengths:
                for tier in tiers:
                    name = tier.name if tier else RAM
                    on_progress(f"gate: repeat {repeat + 1} of {repeats}, {length} tokens, {name}")
                    found.append(_one(asker, tier, length, with_load=with_load, gate_first=next(turn) % 2 == 0))
    return found


def gate_missing(target: Target) -> Skipped | None:
    """Why there is no gate to measure, if so."""
    for need in ("policies", RAM):
        if need in target.missing:
            return Skipped("gate", target.missing[need])
    if not target.profiled:
        return Skipped("gate", "without a profile the gate loads all; measure one with 'kvasir backend profile'")
    return None


def _one(asker: Asker, tier: SlowTier | None, tokens: int, *, with_load: bool, gate_first: bool) -> GateSample:
    target = asker.target
    prompt = target.prompts.beyond(tokens)
    asker.note(prompt, tier.use_case if tier else None)
    mark = asker.store_mark()
    recompute = asker.ask_from(COLD, prompt)
    asker.empty_engine()
    if written_to := tier or next((one for one in target.tiers if one.role == "disk"), None):
        asker.await_stored(written_to, tokens, mark)
    load: float | None = None
    if with_load and not gate_first:
        load = _load(asker, tier, prompt)
    _place(asker, tier)
    with target.gates(load=True, store=True):
        answer = asker.ask(prompt)
        # Here, so that what the engine hands over meanwhile meets the gates as they ship.
        asker.empty_engine()
    if with_load and gate_first:
        load = _load(asker, tier, prompt)
    asker.forget_session()
    asker.forget_files(mark)
    return GateSample(tier.name if tier else RAM, tokens, recompute, answer.seconds, load, answer.handed_tokens)


def _load(asker: Asker, tier: SlowTier | None, prompt: list[int]) -> float:
    _place(asker, tier)
    return asker.ask_from(tier.name if tier else RAM, prompt)


def _place(asker: Asker, tier: SlowTier | None) -> None:
    if tier is None:
        asker.empty_engine()
    else:
        asker.leave_only(tier)
