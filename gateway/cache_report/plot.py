"""The plot of a cache report: tokens of each layer by what became of them, and what broke prefixes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from gateway.cache_report.prefix_end import CAUSES, WHOLE
from gateway.cache_report.report import CacheReport
from gateway.errors import BadRequest
from gateway.prompt import Layer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK = "#57606a"  # readable on white and on dark
_REUSED, _SHARED, _NEW, _BROKE = "#1a7f37", "#bf8700", "#8c959f", "#cf222e"


def draw(report: CacheReport, file: Path) -> None:
    """Write the plot in the format that the file's name ends with. Raises `BadRequest`."""
    try:
        import matplotlib
    except ImportError as exc:
        raise BadRequest("--plot: needs matplotlib; install it with pip install 'kvasir[plots]'", "plot") from exc
    matplotlib.use("agg")
    from matplotlib import pyplot

    style: dict[str, Any] = {"svg.hashsalt": "kvasir", "svg.fonttype": "none", "font.size": 10}
    style |= {name: _INK for name in ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")}
    with matplotlib.rc_context(style):  # type: ignore[arg-type]
        figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4), layout="constrained")
        _draw_layers(left, report)
        _draw_breaks(right, report)
        try:
            figure.savefig(file, transparent=True, metadata={"Date": None} if file.suffix == ".svg" else None)
        except (OSError, ValueError) as exc:
            raise BadRequest(f"--plot: '{file}' cannot be written: {exc}", "plot") from exc
        finally:
            pyplot.close(figure)


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
    _finish(axis, "tokens of each layer")
    axis.legend(frameon=False)


def _draw_breaks(axis: Axes, report: CacheReport) -> None:
    causes = [cause for cause in reversed(CAUSES) if cause in report.ends and cause not in WHOLE]
    axis.barh(causes, [report.ends[cause].requests for cause in causes], color=_BROKE)
    _finish(axis, "requests whose prefix broke, by cause")
    if not causes:
        axis.text(0.5, 0.5, "none", ha="center", va="center", transform=axis.transAxes)
        axis.set_xticks([])
        axis.set_yticks([])


def _finish(axis: Axes, title: str) -> None:
    axis.set_title(title, color=_INK)
    axis.spines[["top", "right"]].set_visible(False)
    axis.patch.set_alpha(0)
