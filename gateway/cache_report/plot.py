"""The plot of a cache report: tokens of each layer by what became of them, and what broke prefixes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

from backend.chart import chart, frame
from backend.errors import PlotFailed
from gateway.cache_report.prefix_end import CAUSES, WHOLE
from gateway.cache_report.report import CacheReport
from gateway.errors import BadRequest
from gateway.prompt import Layer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_REUSED, _SHARED, _NEW, _BROKE = "#1a7f37", "#bf8700", "#8c959f", "#cf222e"


def draw(report: CacheReport, file: Path) -> None:
    """Write the plot in the format that the file's name ends with. Raises `BadRequest`."""
    try:
        with chart(file, (11, 4), 2) as (left, right):
            _draw_layers(left, report)
            _draw_breaks(right, report)
    except PlotFailed as exc:
        raise BadRequest(str(exc), "plot") from exc


def _draw_layers(axis: Axes, report: CacheReport) -> None:
    """Tokens of which no engine told that they were reused count as not reused."""
    names = [name for name in reversed(get_args(Layer)) if name in report.layers and report.layers[name].tokens]
    layers = [report.layers[name] for name in names]
    reused = [layer.cached_tokens for layer in layers]
    shared = [max(0.0, layer.shared_tokens - layer.cached_tokens) for layer in layers]
    new = [max(0.0, layer.tokens - hit - more) for layer, hit, more in zip(layers, reused, shared, strict=True)]
    left = [0.0] * len(names)
    for widths, colour, label in (
        (reused, _REUSED, "reused"),
        (shared, _SHARED, "shared, not reused"),
        (new, _NEW, "new"),
    ):
        axis.barh(names, widths, left=left, color=colour, label=label)
        left = [begin + width for begin, width in zip(left, widths, strict=True)]
    frame(axis, "tokens of each layer")
    axis.legend(frameon=False)


def _draw_breaks(axis: Axes, report: CacheReport) -> None:
    causes = [cause for cause in reversed(CAUSES) if cause in report.ends and cause not in WHOLE]
    axis.barh(causes, [report.ends[cause].requests for cause in causes], color=_BROKE)
    frame(axis, "requests whose prefix broke, by cause")
    if not causes:
        axis.text(0.5, 0.5, "none", ha="center", va="center", transform=axis.transAxes)
        axis.set_xticks([])
        axis.set_yticks([])
