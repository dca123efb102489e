"""The plot of a simulation: hit rate and seconds saved of each policy, by the size of the last tier."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from backend.chart import COLOURS, chart, frame
from backend.simulation.cases import CaseResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MEASURES: tuple[tuple[str, Callable[[CaseResult], float]], ...] = (
    ("hit rate, in blocks", lambda one: one.result.block_hit_rate),
    ("share of prefill time saved", lambda one: one.result.ttft_saved_seconds / max(one.result.prefill_seconds, 1e-9)),
)


def draw(results: Sequence[CaseResult], file: Path) -> None:
    """Write the plot in the format that the file's name ends with. Raises `PlotFailed`."""
    with chart(file, (10, 4), len(_MEASURES)) as axes:
        for axis, (title, measure) in zip(axes, _MEASURES, strict=True):
            _draw_one(axis, title, measure, results)
        axes[0].legend(frameon=False)


def _draw_one(axis: Axes, title: str, measure: Callable[[CaseResult], float], results: Sequence[CaseResult]) -> None:
    lines: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for one in results:
        lines[one.result.policy].append((one.result.tiers[-1].capacity_blocks, measure(one)))
    for number, (policy, points) in enumerate(lines.items()):
        sizes, values = zip(*sorted(points), strict=True)
        axis.plot(sizes, values, marker="o", markersize=4, label=policy, color=COLOURS[number % len(COLOURS)])
    frame(axis, title)
    axis.set_xscale("log")
    axis.set_ylim(bottom=0)
    axis.set_xlabel(f"blocks of {results[0].result.tiers[-1].name}")
