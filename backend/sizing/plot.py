"""Memory by context length as a plot: what one sequence keeps, and how many sequences fit each GPU.

SVG with a transparent ground and mid-grey lettering, so that it reads on a light page and on a dark one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backend.sizing.gpus import GIB
from backend.sizing.report import SizeReport

_INK = "#7d8590"
_COLOURS = ("#2f81f7", "#d29922", "#3fb950", "#bc8cff", "#f85149", "#39c5cf")


def draw_size(report: SizeReport, path: Path) -> None:
    """Write the plot; raises `ImportError` without matplotlib. The same report gives the same bytes.

    GPUs that hold no sequence are left out, and so are all but the first six.
    """
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    with matplotlib.rc_context({"svg.hashsalt": "kvasir", "svg.fonttype": "none", "font.size": 10, "text.color": _INK}):
        figure, (memory, fitting) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
        tokens = [context.context_tokens for context in report.contexts]
        memory.plot(
            tokens, [context.kv_bytes / GIB for context in report.contexts], marker="o", markersize=4, color=_COLOURS[0]
        )
        _frame(memory, f"{report.shape.name}: KV of one sequence, GiB ({report.whole.types.kv})", tokens)
        able = [size for size in report.gpus if any(row.sequences for row in size.fit.contexts)]
        for colour, size in zip(_COLOURS, able, strict=False):
            rows = [row for row in size.fit.contexts if row.sequences]
            lengths, counts = [row.context_tokens for row in rows], [row.sequences for row in rows]
            fitting.plot(lengths, counts, marker="o", markersize=4, color=colour, label=size.fit.gpu.name)
        _frame(fitting, "sequences that fit at once", tokens)
        if able:
            fitting.set_yscale("log")
            fitting.legend(frameon=False, labelcolor=_INK, fontsize=9)
        figure.savefig(path, format="svg", transparent=True, metadata={"Date": None})
        pyplot.close(figure)


def _frame(axis: Any, title: str, tokens: list[int]) -> None:
    axis.set_title(title, color=_INK, fontsize=10)
    axis.set_xscale("log", base=2)
    axis.set_xticks(tokens, [f"{count // 1024}K" if count % 1024 == 0 else str(count) for count in tokens])
    axis.minorticks_off()
    axis.set_xlabel("context, tokens", color=_INK)
    axis.tick_params(colors=_INK, which="both")
    axis.grid(axis="y", color=_INK, alpha=0.25, linewidth=0.6)
    for side in axis.spines.values():
        side.set_color(_INK)
        side.set_alpha(0.5)
