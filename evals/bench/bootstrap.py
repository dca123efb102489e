"""Bootstrap intervals of means and shares (Efron 1979, percentile method). Same values, same interval.

That of a median is `backend.benching.figure.median_interval`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

RESAMPLES = 10_000
_SEED = 7


def mean_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % interval of the mean of independent `values`; `None` where there are none."""
    if not values:
        return None
    measured = np.asarray(values, dtype=np.float64)
    random = np.random.default_rng(_SEED)
    means = [float(np.mean(measured[random.integers(0, len(measured), len(measured))])) for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def share_difference_interval(
    ours: Sequence[tuple[int, int]], theirs: Sequence[tuple[int, int]]
) -> tuple[float, float] | None:
    """The 95 % interval of the difference of two shares, whose cases come in groups that are alike.

    Each group has its (counted, total) on both sides, in one order; whole groups are drawn. `None` where a side has no
    case.
    """
    left, right = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    if not len(left) or not left[:, 1].sum() or not right[:, 1].sum():
        return None
    random = np.random.default_rng(_SEED)
    found: list[float] = []
    for _ in range(RESAMPLES):
        drawn = random.integers(0, len(left), len(left))
        (counted, total), (other_counted, other_total) = left[drawn].sum(axis=0), right[drawn].sum(axis=0)
        if total and other_total:
            found.append(counted / total - other_counted / other_total)
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def clustered_interval(clusters: Iterable[Sequence[float]]) -> tuple[float, float] | None:
    """The 95 % interval of the mean of all values, where only those of different clusters are independent.

    Whole clusters are drawn again (Davison and Hinkley 1997, on hierarchical data). `None` where there is no value.
    """
    known = [values for values in clusters if values]
    if not known:
        return None
    totals = np.array([sum(values) for values in known], dtype=np.float64)
    counts = np.array([len(values) for values in known], dtype=np.float64)
    random = np.random.default_rng(_SEED)
    drawn = (random.integers(0, len(known), len(known)) for _ in range(RESAMPLES))
    low, high = np.quantile([totals[draw].sum() / counts[draw].sum() for draw in drawn], [0.025, 0.975])
    return float(low), float(high)
