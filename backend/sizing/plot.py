"""Memory by context length as a plot: what one sequence keeps, and how many sequences fit each GPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from backend.chart import COLOURS, INK, chart, frame
from backend.sizing.gpus import GIB
from backend.sizing.report import SizeReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_GPUS = 6


def draw_size(report: SizeReport, path: Path) -> None:
    """Write the plot. Raises `PlotFailed`.

    GPUs that hold no sequence are left out, and so are all but the first six.
    """
    with chart(path, (9, 3.6), 2) as (memory, fitting):
        tokens = [context.context_tokens for context in report.contexts]
        kept = [context.kv_bytes / GIB for context in report.contexts]
        memory.plot(tokens, kept, marker="o", markersize=4, color=COLOURS[0])
        _frame(memory, f"{report.shape.name}: KV of one sequence, GiB ({report.whole.types.kv})", tokens)
        able = [size for size in report.gpus if any(row.sequences for row in size.fit.contexts)]
        for colour, size in zip(COLOURS, able[:_MOST_GPUS], strict=False):
            rows = [row for row in size.fit.contexts if row.sequences]
            lengths, counts = [row.context_tokens for row in rows], [row.sequences for row in rows]
            fitting.plot(lengths, counts, marker="o", markersize=4, color=colour, label=size.fit.gpu.name)
        _frame(fitting, "sequences that fit at once", tokens)
        if able:
            fitting.set_yscale("log")
            fitting.legend(frameon=False, labelcolor=INK, fontsize=9)


def _frame(axis: Axes, title: str, tokens: Sequence[int]) -> None:
    frame(axis, title)
    axis.set_xscale("log", base=2)
    axis.set_xticks(tokens, [f"{count // 1024}K" if count % 1024 == 0 else str(count) for count in tokens])
    axis.minorticks_off()
    axis.set_xlabel("context, tokens")
