"""Seconds to the first token by prompt length, a line for each place or choice; bars from the least to the most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from backend.benching.gate import GateSample
from backend.benching.tiers import Sample, place_title
from backend.chart import COLOURS, INK, chart, frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Curves = dict[str, dict[int, list[float]]]
"""By the name of a line: seconds by length."""


def plot_bench(samples: Sequence[Sample], gate_samples: Sequence[GateSample], file: Path) -> None:
    """A panel of the tiers, where they were measured, and one of each tier before which the gate was. Written in the
    format that the file's name ends with. Raises `PlotFailed`.
    """
    panels: dict[str, Curves] = {"from every tier": tier_curves(samples)} if samples else {}
    panels |= {f"KV in {place_title(tier)}": curves for tier, curves in gate_curves(gate_samples).items()}
    with chart(file, (1 + 7 * len(panels), 4.2), len(panels)) as axes:
        for axis, (title, curves) in zip(axes, panels.items(), strict=True):
            _draw(axis, title, curves)


def tier_curves(samples: Sequence[Sample]) -> Curves:
    """For each place, `cold` first."""
    found: Curves = {"cold": {}}
    for one in sorted(samples, key=lambda one: one.tokens):
        found["cold"].setdefault(one.tokens, []).append(one.cold_seconds)
        found.setdefault(place_title(one.place), {}).setdefault(one.tokens, []).append(one.seconds)
    return found


def gate_curves(samples: Sequence[GateSample]) -> dict[str, Curves]:
    """For each tier: to recompute, to load always, and what the gate made of it."""
    found: dict[str, Curves] = {}
    for one in sorted(samples, key=lambda one: one.tokens):
        curves = found.setdefault(one.tier, {"recompute always": {}, "load always": {}, "with the gate": {}})
        for name, seconds in zip(curves, (one.recompute, one.load, one.gate), strict=True):
            if seconds is not None:
                curves[name].setdefault(one.tokens, []).append(seconds)
    return found


def _draw(axis: Axes, title: str, curves: Mapping[str, Mapping[int, Sequence[float]]]) -> None:
    for colour, (name, points) in zip(COLOURS, curves.items(), strict=False):
        middles = [median(seconds) for seconds in points.values()]
        least = [middle - min(seconds) for middle, seconds in zip(middles, points.values(), strict=True)]
        most = [max(seconds) - middle for middle, seconds in zip(middles, points.values(), strict=True)]
        axis.errorbar(list(points), middles, yerr=[least, most], marker="o", markersize=4, color=colour, label=name)
    frame(axis, title)
    lengths = sorted({tokens for points in curves.values() for tokens in points})
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.set_xticks(lengths, [str(tokens) for tokens in lengths])
    axis.yaxis.set_major_formatter("{x:g}")
    axis.minorticks_off()
    axis.set_xlabel("tokens of the prompt")
    axis.set_ylabel("seconds to the first token")
    axis.legend(frameon=False, labelcolor=INK, loc="center left", bbox_to_anchor=(1, 0.5))
