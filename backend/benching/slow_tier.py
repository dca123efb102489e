"""The load gate before a tier that is slower than computing: LMCache's adapter `mock`, whose bandwidth is given.

It gets a tenth of the bandwidth at which loading the longest prompt would take as long as computing it, which is
measured first, on a pair with a tier of any speed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from backend.benching.asking import COLD, Asker
from backend.benching.gate import GatePlan, GateSample, measure_gate
from backend.benching.own_pair import own_pair, profile_own
from backend.benching.target import Progress, Target
from backend.plan import LaunchOptions

_GIB = 2**30
_SHARE = 0.1
_COLD_PROMPTS = 4
_PAIRS = 4
_LOAD_REPEATS = 2
"""To load always takes ten times as long as to compute, and is shown only beside."""


@dataclass(frozen=True)
class SlowTierRun:
    """`break_even_bytes_per_second` is that of the longest prompt."""

    break_even_bytes_per_second: float
    samples: list[GateSample]


def measure_slow_tier(
    options: LaunchOptions, folder: Path, lengths: tuple[int, ...], repeats: int, on_progress: Progress
) -> SlowTierRun:
    """Starts two pairs after one another in `folder`."""
    with own_pair(options, folder / "plain", on_progress) as target:
        target.check_lengths(lengths)
        bandwidth = _break_even(target, max(lengths))
    on_progress(f"slow tier: loading takes as long as computing at {bandwidth / 1e6:.1f} MB/s; a tenth of it is given")
    adapter = json.dumps({"type": "mock", "max_size_gb": 2, "mock_bandwidth_gb": _SHARE * bandwidth / _GIB})
    home = folder / "slow"
    with own_pair(replace(options, disk_adapter=adapter), home, on_progress) as target:
        profile_own(target, home, profile_lengths_of(lengths, target.chunk_tokens), on_progress)
        gates = GatePlan(lengths, repeats, pairs=_PAIRS, load_repeats=_LOAD_REPEATS, with_ram=False)
        samples = measure_gate(target, gates, on_progress)
    return SlowTierRun(bandwidth, samples)


def _break_even(target: Target, tokens: int) -> float:
    asker = Asker(target)
    with target.gates(load=False, store=False):
        asker.learn_kv_bytes()
        # The first is a warm-up at best, and what else runs on the machine can only add.
        seconds = min(asker.ask_from(COLD, target.prompts.beyond(tokens)) for _ in range(_COLD_PROMPTS))
    return tokens * target.kv_bytes_per_token / seconds


def profile_lengths_of(lengths: Sequence[int], chunk: int) -> tuple[int, ...]:
    """At least three, none longer than the longest that is measured: from a slow tier they take long."""
    longest = max(lengths)
    found = {length for length in (2 * chunk, longest // 2 // chunk * chunk, longest) if length}
    return tuple(sorted(found | {chunk} if len(found) < 3 else found))
