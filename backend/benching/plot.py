"""Seconds to the first token by prompt length, a line for each place; bars from the least to the most."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from backend.benching.tiers import Sample, place_title
from backend.chart import COLOURS, INK, chart, frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_tiers(samples: Sequence[Sample], file: Path) -> None:
    """Write the plot in the format that the file's name ends with. Raises `PlotFailed`."""
    with chart(file, (9, 4.2)) as (axis,):
        for colour, (place, points) in zip(COLOURS, curves(samples).items(), strict=False):
            middles = [median(seconds) for seconds in points.values()]
            least = [middle - min(seconds) for middle, seconds in zip(middles, points.values(), strict=True)]
            most = [max(seconds) - middle for middle, seconds in zip(middles, points.values(), strict=True)]
            spread, title = [least, most], place_title(place)
            axis.errorbar(list(points), middles, yerr=spread, marker="o", markersize=4, color=colour, label=title)
        _frame(axis, sorted({one.tokens for one in samples}))


def curves(samples: Sequence[Sample]) -> dict[str, dict[int, list[float]]]:
    """Seconds by length for each place, `cold` first."""
    found: dict[str, dict[int, list[float]]] = {"cold": {}}
    for one in sorted(samples, key=lambda one: one.tokens):
        found["cold"].setdefault(one.tokens, []).append(one.cold_seconds)
        found.setdefault(one.place, {}).setdefault(one.tokens, []).append(one.seconds)
    return found


def _frame(axis: Axes, lengths: Sequence[int]) -> None:
    frame(axis)
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.set_xticks(lengths, [str(tokens) for tokens in lengths])
    axis.yaxis.set_major_formatter("{x:g}")
    axis.minorticks_off()
    axis.set_xlabel("tokens of the prompt")
    axis.set_ylabel("seconds to the first token")
    axis.legend(frameon=False, labelcolor=INK, loc="center left", bbox_to_anchor=(1, 0.5))
