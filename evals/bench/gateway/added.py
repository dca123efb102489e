"""What stands between a client and its engine, from seconds with it and seconds without it, round by round."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2_000
_SEED = 7

Rounds = Sequence[Sequence[float]]
"""Seconds of each request, by round."""
Pooled = Mapping[str, NDArray[np.float64]]
Statistic = Callable[[Pooled], float]


def added_ms(pooled: Pooled, target: str, direct: str, quantile: float) -> float:
    """Milliseconds between the same quantile of a target's requests and of the engine's own."""
    return float(np.quantile(pooled[target], quantile) - np.quantile(pooled[direct], quantile)) * 1_000


def pool(rounds: Mapping[str, Rounds]) -> Pooled:
    """All requests of each target, whatever their round."""
    return {
        name: np.concatenate([np.asarray(one, dtype=np.float64) for one in found]) for name, found in rounds.items()
    }


def over_rounds(rounds: Mapping[str, Rounds], statistic: Statistic) -> tuple[float, tuple[float, float]]:
    """A statistic of all requests, and its 95 % interval where whole rounds are drawn again.

    A round is drawn for all targets at once: what the machine did meanwhile was the same for them.
    """
    count = min(len(found) for found in rounds.values())
    random = np.random.default_rng(_SEED)
    drawn: list[float] = []
    for _ in range(RESAMPLES):
        chosen = random.integers(0, count, count)
        drawn.append(statistic(pool({name: [found[index] for index in chosen] for name, found in rounds.items()})))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return statistic(pool(rounds)), (float(low), float(high))
