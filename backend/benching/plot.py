"""Seconds to the first token by prompt length, a line for each place; bars from the least to the most."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from backend.benching.tiers import Sample, place_title
from backend.errors import MeasurementFailed

_INK = "#7d8590"  # readable on white and on dark
_COLOURS = ("#f85149", "#2f81f7", "#3fb950", "#d29922", "#bc8cff", "#39c5cf")


def plot_tiers(samples: Sequence[Sample], file: Path) -> None:
    """Write the plot in the format that the file's name ends with. Raises `MeasurementFailed` where that cannot be."""
    if not samples:
        raise MeasurementFailed("--plot", "shows the section 'tiers', which was not measured")
    try:
        import matplotlib
    except ImportError as exc:
        raise MeasurementFailed("--plot", "needs matplotlib; install it with pip install 'kvasir[plots]'") from exc
    matplotlib.use("agg")
    from matplotlib import pyplot

    style: dict[str, Any] = {"svg.hashsalt": "kvasir", "svg.fonttype": "none", "font.size": 10}
    style |= {name: _INK for name in ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")}
    with matplotlib.rc_context(style):  # type: ignore[arg-type]
        figure, axis = pyplot.subplots(figsize=(9, 4.2), layout="constrained")
        for colour, (place, points) in zip(_COLOURS, curves(samples).items(), strict=False):
            middles = [median(seconds) for seconds in points.values()]
            least = [middle - min(seconds) for middle, seconds in zip(middles, points.values(), strict=True)]
            most = [max(seconds) - middle for middle, seconds in zip(middles, points.values(), strict=True)]
            axis.errorbar(
                list(points),
                middles,
                yerr=[least, most],
                marker="o",
                markersize=4,
                color=colour,
                label=place_title(place),
            )
        _frame(axis, sorted({one.tokens for one in samples}))
        try:
            figure.savefig(file, transparent=True, metadata={"Date": None} if file.suffix == ".svg" else None)
        except (OSError, ValueError) as exc:
            raise MeasurementFailed("--plot", f"'{file}' cannot be written: {exc}") from exc
        finally:
            pyplot.close(figure)


def curves(samples: Sequence[Sample]) -> dict[str, dict[int, list[float]]]:
    """Seconds by length for each place, `cold` first."""
    found: dict[str, dict[int, list[float]]] = {"cold": {}}
    for one in sorted(samples, key=lambda one: one.tokens):
        found["cold"].setdefault(one.tokens, []).append(one.cold_seconds)
        found.setdefault(one.place, {}).setdefault(one.tokens, []).append(one.seconds)
    return found


def _frame(axis: Any, lengths: Sequence[int]) -> None:
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.set_xticks(lengths, [str(tokens) for tokens in lengths])
    axis.yaxis.set_major_formatter("{x:g}")
    axis.minorticks_off()
    axis.set_xlabel("tokens of the prompt")
    axis.set_ylabel("seconds to the first token")
    axis.grid(axis="y", color=_INK, alpha=0.25, linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    axis.patch.set_alpha(0)
    axis.legend(frameon=False, labelcolor=_INK, loc="center left", bbox_to_anchor=(1, 0.5))
