"""The learning curve as a plot: accuracy after so many confirmed answers, drawn from the rows of a result."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.chart import COLOURS, INK, chart, frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POINT = re.compile(
    r"(?P<set>\S+) (?P<split>question|query) split, (?P<count>\d+) confirmed answers, (?P<decoding>\w+)"
)
_SPLITS = {
    "question": "Question split: templates return",
    "query": "Query split: no template returns",
}


@dataclass(frozen=True, slots=True)
class Point:
    """`value` with its 95 % interval, as shares, after `confirmed` answers."""

    confirmed: int
    value: float
    low: float
    high: float


Curves = Mapping[tuple[str, str], Sequence[Point]]
"""(split, "set, measure") → its points, by count."""


def point_name(set_name: str, confirmed: int) -> str:
    return f"{set_name}, {confirmed} confirmed answers"


def curves_of(rows: Iterable[Mapping[str, Any]], decoding: str = "greedy") -> Curves:
    """The curves among the rows of a `kvasir bench mini --json`."""
    found: dict[tuple[str, str], list[Point]] = {}
    for row in rows:
        match = _POINT.fullmatch(row["name"])
        if match is None or match["decoding"] != decoding or row["value"] is None:
            continue
        low, high = row["interval"]
        point = Point(int(match["count"]), row["value"], low, high)
        found.setdefault((match["split"], f"{match['set']}, {row['unit']}"), []).append(point)
    return {key: sorted(points, key=lambda point: point.confirmed) for key, points in found.items()}


def draw(curves: Curves, path: Path) -> None:
    """Write the plot in the format that the file's name ends with. Raises `PlotFailed`."""
    with chart(path, (9, 3.6), len(_SPLITS), share_y=True) as axes:
        names = sorted({name for _, name in curves})
        for axis, (split, title) in zip(axes, _SPLITS.items(), strict=True):
            for colour, name in zip(COLOURS, names, strict=False):
                if points := curves.get((split, name)):
                    _line(axis, points, name, colour)
            _frame(axis, title)
        axes[0].set_ylabel("right, share of questions")
        handles = {str(line.get_label()): line for axis in axes for line in axis.get_lines()}
        axes[0].legend(handles.values(), handles, frameon=False, labelcolor=INK, fontsize=9, loc="upper left")


def _line(axis: Axes, points: Sequence[Point], name: str, colour: str) -> None:
    counts = [point.confirmed for point in points]
    axis.plot(counts, [point.value for point in points], marker="o", markersize=4, color=colour, label=name)
    lows, highs = [point.low for point in points], [point.high for point in points]
    axis.fill_between(counts, lows, highs, color=colour, alpha=0.15, linewidth=0)


def _frame(axis: Axes, title: str) -> None:
    frame(axis, title)
    axis.set_xscale("symlog", linthresh=10)
    axis.set_xticks([0, 10, 100, 500], ["0", "10", "100", "500"])
    axis.set_xlim(0, 600)
    axis.set_ylim(0, 1)
    axis.minorticks_off()
    axis.set_xlabel("confirmed answers in the base")
