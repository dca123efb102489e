"""From measured seconds to costs. Least squares of the relative error, with coefficients of at least zero.

Relative, because a prompt of 30K tokens takes a hundred times as long as one of 512 and would alone decide the fit;
and not negative, because no part of a prefill or a transfer gives time back.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import numpy as np
from scipy.optimize import nnls

from backend.tiers.cost import PrefillCost, TransferCost
from backend.tiers.profile import Sample


def fit_prefill(samples: Sequence[Sample]) -> PrefillCost:
    """Constant, linear and quadratic part from at least three lengths."""
    return PrefillCost(*_fit(samples, degree=2))


def fit_line(samples: Sequence[Sample]) -> TransferCost:
    """Latency and seconds a token from at least two lengths; zero from none."""
    return TransferCost(*_fit(samples, degree=1)) if samples else TransferCost(0.0, 0.0)


def beyond(line: TransferCost, constant_seconds: float) -> TransferCost:
    """The line without what a request costs in any case."""
    return TransferCost(max(0.0, line.constant_seconds - constant_seconds), line.per_token_seconds)


def _fit(samples: Sequence[Sample], *, degree: int) -> list[float]:
    if len(samples) <= degree:
        raise ValueError(f"{len(samples)} lengths do not determine a polynomial of degree {degree}")
    tokens = np.array([sample.tokens for sample in samples], dtype=float)
    seconds = np.array([median(sample.seconds) for sample in samples])
    # In units of the longest prompt, the columns are of one size.
    scale = tokens.max()
    columns = np.stack([(tokens / scale) ** power for power in range(degree + 1)], axis=1)
    found, _ = nnls(columns / seconds[:, None], np.ones(len(samples)))
    return [float(value / scale**power) for power, value in enumerate(found)]
