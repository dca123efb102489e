"""Rows of the stream (c): what landings do to the hit rate, with warming and without."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evals.bench.bootstrap import mean_interval
from evals.bench.prefix.hit_rates import Use, ratio
from evals.bench.prefix.landings import EVERY
from evals.bench.prefix.orders import OURS, PLANNED
from evals.bench.prefix.reuse_rows import Uses, hit_rate_row, ratio_row
from evals.bench.row import Asked, Row

OFF, NONE = "warming off", "no landing"


def landing_rows(uses: Uses, what: str) -> list[Row]:
    """`uses` are of the same requests with landings that are warmed (`OURS`), not warmed (`OFF`), and without landings
    (`NONE`); `PLANNED` are warmed with the planner on.

    Where one landing follows another, what comes before it comes after the last one; so the hit rate after ÷ before
    says little, and the rows beside it compare with the same requests without landings.
    """
    ratios = {name: before_and_after(of_one) for name, of_one in uses.items()}
    on, landings = ratios[OURS], len(ratios[OURS])
    if not landings:
        return []
    after = {name: of_one[EVERY:] for name, of_one in uses.items()}
    others = {name: float(np.mean(ratios[name])) for name in (OFF, NONE)}
    value, asked = float(np.mean(on)), Asked(at_least=0.95)
    rows = [
        Row(f"(c) hit rate after a landing ÷ before it, {what}", value, "", landings, mean_interval(on), others, asked),
        hit_rate_row(f"(c) hit rate after landings, {what}", after),
        ratio_row(f"(c) hit rate after landings ÷ without landings, {what}", after[OURS], after[NONE], asked),
        ratio_row(f"(c) the same, warming off, {what}", after[OFF], after[NONE]),
    ]
    if PLANNED in uses:
        rows.append(ratio_row(f"(c) planned ÷ ours after landings, {what}", after[PLANNED], after[OURS]))
    return rows


def before_and_after(uses: Sequence[Use], every: int = EVERY) -> list[float]:
    """For each landing, the hit rate of the `every` requests after it ÷ that of those before it."""
    starts = range(every, len(uses) - every + 1, every)
    ratios = [ratio(uses[at : at + every], uses[at - every : at]) for at in starts]
    return [value for value in ratios if value is not None]
