"""A row of a benchmark's table is a figure as `kvasir backend bench` gives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from backend.benching.figure import Asked
from backend.benching.figure import Figure as Row
from evals.interval import pass_rate

__all__ = ["Asked", "Row", "share_row"]


def share_row(
    name: str, found: Sequence[bool], asked: Asked | None = None, baseline: Mapping[str, float] | None = None
) -> Row:
    """The share of `found` that is true, with Wilson's interval."""
    rate = pass_rate(sum(found), len(found))
    if rate is None:
        return Row(name, None, "share", 0, asked=asked)
    return Row(name, rate.rate, "share", rate.total, (rate.low, rate.high), baseline or {}, asked)
