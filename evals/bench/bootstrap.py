"""Bootstrap intervals of a mean (Efron 1979, percentile method). The seed is fixed: same values, same interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RESAMPLES = 10_000
_SEED = 7


def mean_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % interval of the mean of independent `values`; `None` where there are none."""
    if not values:
        return None
    measured = np.asarray(values, dtype=np.float64)
    random = np.random.default_rng(_SEED)
    means = [measured[random.integers(0, len(measured), len(measured))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
