"""How every plot of Kvasir looks: a transparent ground and mid-grey lettering, so that it reads on a light page and on
a dark one. The same figures give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.errors import PlotFailed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#7d8590"
COLOURS = ("#2f81f7", "#d29922", "#3fb950", "#bc8cff", "#f85149", "#39c5cf", "#bc4c00", "#8c959f")

_INKED = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
_STYLE: dict[str, Any] = {"svg.hashsalt": "kvasir", "svg.fonttype": "none", "font.size": 10}
_STYLE |= dict.fromkeys(_INKED, INK)


def check_plot(file: Path) -> None:
    """Before work whose plot is to be written there. Raises `PlotFailed` where that could not be."""
    _use_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    formats = FigureCanvasAgg.get_supported_filetypes()
    if file.suffix.removeprefix(".").lower() not in formats:
        raise PlotFailed(f"'{file}' is of no known format; end its name with .svg or .png")
    if not file.absolute().parent.is_dir():
        raise PlotFailed(f"'{file}' cannot be written: its folder does not exist")


@contextmanager
def chart(
    file: Path, size: tuple[float, float], panels: int = 1, *, share_y: bool = False
) -> Iterator[tuple[Axes, ...]]:
    """Panels side by side to draw on, `size` inches together; written at the end in the format that the file's name
    ends with. Raises `PlotFailed`.
    """
    _use_matplotlib()
    import matplotlib
    from matplotlib import pyplot

    with matplotlib.rc_context(_STYLE):  # type: ignore[arg-type]
        figure, axes = pyplot.subplots(1, panels, figsize=size, sharey=share_y, layout="constrained", squeeze=False)
        try:
            yield tuple(axes[0])
            _save(figure, file)
        finally:
            pyplot.close(figure)


def frame(axis: Axes, title: str = "") -> None:
    """What surrounds the lines: no box, faint lines to read heights by."""
    axis.set_title(title, color=INK, fontsize=10)
    axis.grid(axis="y", color=INK, alpha=0.25, linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    axis.patch.set_alpha(0)


def _use_matplotlib() -> None:
    try:
        import matplotlib
    except ImportError as exc:
        raise PlotFailed("needs matplotlib; install it with pip install 'kvasir[plots]'") from exc
    matplotlib.use("agg")  # no window


def _save(figure: Any, file: Path) -> None:
    try:
        figure.savefig(file, transparent=True, metadata={"Date": None} if file.suffix == ".svg" else None)
    except (OSError, ValueError) as exc:
        raise PlotFailed(f"'{file}' cannot be written: {exc}") from exc
