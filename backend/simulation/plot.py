"""The plot of a simulation: hit rate and seconds saved of each policy, by the size of the last tier."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from backend.simulation.cases import CaseResult
from backend.simulation.errors import SimulationOptionInvalid

_INK = "#57606a"  # readable on white and on dark
_COLOURS = ("#8c959f", "#57606a", "#bf8700", "#8250df", "#0969da", "#1a7f37", "#cf222e", "#bc4c00")


def draw(results: Sequence[CaseResult], file: Path) -> None:
    """Write the plot in the format that the file's name ends with. Raises `SimulationOptionInvalid` where that cannot
    be.
    """
    try:
        import matplotlib
    except ImportError as exc:
        raise SimulationOptionInvalid(
            "--plot", "needs matplotlib; install it with pip install 'kvasir[plots]'"
        ) from exc
    matplotlib.use("agg")
    from matplotlib import pyplot

    style: dict[str, Any] = {"svg.hashsalt": "kvasir", "svg.fonttype": "none", "font.size": 10}
    style |= {name: _INK for name in ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")}
    with matplotlib.rc_context(style):  # type: ignore[arg-type]
        figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
        for axis, (title, measure) in zip(axes, _MEASURES, strict=True):
            _draw_one(axis, title, measure, results)
        axes[0].legend(frameon=False)
        try:
            figure.savefig(file, transparent=True, metadata={"Date": None} if file.suffix == ".svg" else None)
        except (OSError, ValueError) as exc:
            raise SimulationOptionInvalid("--plot", f"'{file}' cannot be written: {exc}") from exc
        finally:
            pyplot.close(figure)


_MEASURES: tuple[tuple[str, Callable[[CaseResult], float]], ...] = (
    ("hit rate, in blocks", lambda one: one.result.block_hit_rate),
    ("share of prefill time saved", lambda one: one.result.ttft_saved_seconds / max(one.result.prefill_seconds, 1e-9)),
)


def _draw_one(axis: object, title: str, measure: Callable[[CaseResult], float], results: Sequence[CaseResult]) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axis, Axes)
    lines: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for one in results:
        lines[one.result.policy].append((one.result.tiers[-1].capacity_blocks, measure(one)))
    for number, (policy, points) in enumerate(lines.items()):
        axis.plot(
            *zip(*sorted(points), strict=True),
            marker="o",
            markersize=4,
            label=policy,
            color=_COLOURS[number % len(_COLOURS)],
        )
    axis.set_xscale("log")
    axis.set_ylim(bottom=0)
    axis.set_title(title, color=_INK)
    axis.set_xlabel(f"blocks of {results[0].result.tiers[-1].name}")
    axis.spines[["top", "right"]].set_visible(False)
    axis.patch.set_alpha(0)
