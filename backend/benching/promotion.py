"""A session that comes back after it was idle: with a typing hint, and without.

Its KV was demoted to disk. With the hint it is fetched into RAM while the person types; without, the request that ends
the typing waits for the disk. Both with the page cache dropped and the engine's own cache empty, in alternating order.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from backend.benching.asking import COLD, RAM, Asker, asking
from backend.benching.rounds import rounds
from backend.benching.target import Progress, SlowTier, Target
from backend.errors import MeasurementFailed


@dataclass(frozen=True)
class Return:
    """Seconds to the first token; `promoted` are those from the hint until the KV is in RAM."""

    tokens: int
    hinted: float
    unhinted: float
    cold: float
    promoted: float


def measure_promotion(target: Target, lengths: Sequence[int], repeats: int, on_progress: Progress) -> list[Return]:
    """The gates are as they ship. Raises `MeasurementFailed` for a pair without a disk tier of files."""
    disk = next((tier for tier in target.tiers if tier.role == "disk" and tier.folder), None)
    if disk is None or not target.has_policies:
        raise MeasurementFailed("promotion", "needs a disk tier of files and LMCache with Kvasir's policies")
    with asking(target) as asker:
        asker.learn_kv_bytes()

        def measure(length: int, repeat: int) -> Return:
            return _one(asker, disk, length, hint_first=repeat % 2 == 0)

        return rounds("promotion", lengths, repeats, on_progress, measure)


def _one(asker: Asker, disk: SlowTier, tokens: int, *, hint_first: bool) -> Return:
    prompt = asker.target.prompts.beyond(tokens)
    asker.note(prompt, "chat", _SESSION)
    mark = asker.store_mark()
    cold = asker.ask_from(COLD, prompt)
    asker.empty_engine()
    asker.target.pair.demote_session(_SESSION)
    asker.await_stored(disk, tokens, mark)
    hinted = unhinted = promoted = 0.0
    for hint in (hint_first, not hint_first):
        asker.leave_only(disk)
        if hint:
            promoted = _promote(asker, disk, tokens)
            hinted = asker.ask_from(RAM, prompt)
        else:
            unhinted = asker.ask_from(disk.name, prompt)
    asker.empty_engine()
    asker.forget_session(_SESSION)
    return Return(tokens, hinted, unhinted, cold, promoted)


_SESSION = "kvasir-bench-typist"


def _promote(asker: Asker, disk: SlowTier, tokens: int) -> float:
    pair = asker.target.pair
    mark = pair.last_transfer()
    begun = time.perf_counter()
    pair.expect_session(_SESSION)
    size = tokens * asker.target.kv_bytes_per_token
    if sum(one["size_bytes"] for one in pair.await_fetched(disk.name, size, mark)) < size:
        raise MeasurementFailed("promotion", "the hint did not bring the whole session into RAM")
    return time.perf_counter() - begun
