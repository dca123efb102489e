"""Two engines, each with an LMCache of its own, and one shared tier: a prefix that one computed is hit on the other."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from backend.benching.asking import COLD, Asker
from backend.benching.own_pair import own_pair
from backend.benching.rounds import rounds
from backend.benching.target import Progress
from backend.plan import LaunchOptions


@dataclass(frozen=True)
class Crossing:
    """Seconds to the first token on the second engine: of a prompt that the first had computed, and of a new one."""

    tokens: int
    hit: float
    cold: float


def measure_two_engines(
    options: LaunchOptions, adapter: str, folder: Path, lengths: Sequence[int], repeats: int, on_progress: Progress
) -> list[Crossing]:
    """Starts two pairs in `folder`; `adapter` is LMCache's of the tier that they share."""
    options = replace(options, shared_tier=adapter)
    with ExitStack() as stack:
        first, second = (
            Asker(stack.enter_context(own_pair(options, folder / name, on_progress))) for name in ("first", "second")
        )
        for asker in (first, second):
            asker.target.check_lengths(tuple(lengths))
            stack.enter_context(asker.target.gates(load=False, store=False))
            asker.learn_kv_bytes()
        return rounds("two engines", lengths, repeats, on_progress, lambda length, _: _cross(first, second, length))


def _cross(first: Asker, second: Asker, tokens: int) -> Crossing:
    shared = next(tier for tier in first.target.tiers if tier.role == "shared")
    prompt = first.target.prompts.beyond(tokens)
    for asker in (first, second):
        asker.note(prompt, "document")
    mark = first.store_mark()
    first.ask_from(COLD, prompt)
    first.empty_engine()
    first.await_stored(shared, tokens, mark)
    hit = second.ask_from(shared.name, prompt)
    cold = second.ask_from(COLD, second.target.prompts.beyond(tokens))
    for asker in (first, second):
        asker.forget_session()
    return Crossing(tokens, hit, cold)
