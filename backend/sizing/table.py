"""A size report for people: the model's figures, then one GPU in detail or many in a line each."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from backend.sizing.gpus import GIB
from backend.sizing.kv import attention_kind
from backend.sizing.report import GpuSize, SizeReport
from backend.sizing.roofline import DecodeBound

_MANY_CONTEXTS = (2048, 8192, 32768, 131072)


def print_size(report: SizeReport, console: Console) -> None:
    """One table by context length where a single GPU was asked for, else one line a GPU."""
    console.print(_facts(report))
    console.print(_one_gpu(report, report.gpus[0]) if len(report.gpus) == 1 else _many_gpus(report))
    beyond = [context.context_tokens for context in report.contexts if not context.within_window]
    if beyond:
        console.print(
            f"* beyond the model's window of {report.window_tokens:,} tokens",
            highlight=False,
        )


def _facts(report: SizeReport) -> RenderableType:
    shape, whole, weights = report.shape, report.whole, report.weights
    grid = Table.grid(padding=(0, 2))
    grid.add_row("model", f"{shape.name}: {shape.model_type}, {len(shape.layers)} layers, {attention_kind(shape)}")
    active = f", {_number(report.count.active)} for a token" if report.count.routed else ""
    total = f"{_number(report.count.total)} parameters{active}"
    grid.add_row("weights", f"{_gib(weights.total_bytes)} in {weights.dtype} ({total})")
    past = whole.bytes_per_token_past_window
    more = f", {past:,} once its windows are full" if past != whole.bytes_per_token else ""
    grid.add_row("KV cache", f"{whole.bytes_per_token:,} bytes a token in {whole.types.kv}{more}")
    if whole.state_bytes:
        grid.add_row("state", f"{whole.state_bytes:,} bytes a sequence, whatever its length")
    if report.each.shape.tp > 1:
        grid.add_row("each GPU", f"{report.each.bytes_per_token:,} bytes a token, of {report.each.shape.tp} GPUs")
    return grid


def _one_gpu(report: SizeReport, size: GpuSize) -> RenderableType:
    found = size.fit
    lines = Table.grid(padding=(0, 2))
    ridge = f", ridge point {found.ridge_flop_per_byte:.0f} FLOP/byte" if found.ridge_flop_per_byte else ""
    if report.options.kv_gib is None:
        on = f"{_count(report)}{found.gpu.name}" if found.gpu.flops_16bit else f"{report.each.shape.tp} GPU"
        lines.add_row("memory", f"{_gib(found.gpu.memory_bytes)} on {on}{ridge}")
    room = found.kv_memory_bytes
    if room <= 0:
        lines.add_row("for KV", f"none: {_gib(-room)} are missing{_needs(report, size)}")
    else:
        window = report.window_tokens
        lines.add_row(
            "for KV",
            f"{_gib(room)}, {found.kv_tokens:,} tokens as vLLM counts them with a window of {window:,} "
            f"(blocks of {size.block_tokens})",
        )
        lines.add_row("longest", f"{found.longest_tokens:,} tokens in one sequence{_shortage(report, size)}")
    table = Table(title_justify="left")
    headings = ("context", "KV of one sequence", "sequences", "decode at most: one", "all of them", "limit")
    for heading in headings:
        table.add_column(heading, justify="right")
    for context, row in zip(report.contexts, found.contexts, strict=True):
        table.add_row(
            f"{context.context_tokens:,}{'' if context.within_window else '*'}",
            _gib(context.kv_bytes),
            f"{row.sequences:,}",
            _rate(row.one),
            _rate(row.all),
            row.all.limit if row.all else "–",
        )
    return Group(lines, table)


def _many_gpus(report: SizeReport) -> RenderableType:
    shown = [
        (index, context)
        for index, context in enumerate(report.contexts)
        if context.context_tokens in _MANY_CONTEXTS or len(report.contexts) <= len(_MANY_CONTEXTS)
    ]
    tokens = Table.grid(padding=(0, 2))
    tokens.add_row(
        "KV of one sequence",
        ", ".join(f"{_short(context.context_tokens)} {_gib(context.kv_bytes)}" for _, context in shown),
    )
    table = Table(title_justify="left")
    # On a narrow terminal a figure goes over two lines: one that is cut says something else.
    table.add_column("GPU", overflow="fold")
    for heading in ("memory", "for KV", "KV tokens", "longest", "FLOP/byte", "tok/s one", "needs"):
        table.add_column(heading, justify="right", overflow="fold")
    for _, context in shown:
        heading = f"fit {_short(context.context_tokens)}{'' if context.within_window else '*'}"
        table.add_column(heading, justify="right", overflow="fold")
    for size in report.gpus:
        found = size.fit
        ridge = f"{found.ridge_flop_per_byte:.0f}" if found.ridge_flop_per_byte else "–"
        table.add_row(
            _count(report) + found.gpu.name,
            f"{found.gpu.memory_bytes / GIB:.0f} GiB",
            _gib(found.kv_memory_bytes) if found.kv_memory_bytes > 0 else Text("none", style="red"),
            f"{found.kv_tokens:,}",
            f"{found.longest_tokens:,}",
            ridge,
            _rate(found.contexts[0].one),
            f"{size.gpus_needed} ×" if size.gpus_needed else "–",
            *(f"{found.contexts[index].sequences:,}" for index, _ in shown),
        )
    return Group(tokens, table)


def _needs(report: SizeReport, size: GpuSize) -> str:
    """How many GPUs would do for the contexts shown, if more than there are."""
    more = size.gpus_needed if size.gpus_needed and size.gpus_needed > report.each.shape.tp else None
    return f"; it needs {more} of these (--tp {more})" if more else ""


def _shortage(report: SizeReport, size: GpuSize) -> str:
    if size.fit.longest_tokens >= report.window_tokens:
        return ""
    return f": vLLM starts only with --max-model-len {size.fit.longest_tokens} or less{_needs(report, size)}"


def _count(report: SizeReport) -> str:
    tp = report.each.shape.tp
    return f"{tp} × " if tp > 1 else ""


def _rate(bound: DecodeBound | None) -> str:
    return f"{bound.tokens_per_second:,.0f}" if bound else "–"


def _number(count: int) -> str:
    return f"{count / 1e9:.2f} B" if count >= 1e9 else f"{count / 1e6:.1f} M"


def _short(tokens: int) -> str:
    return f"{tokens // 1024}K" if tokens % 1024 == 0 else f"{tokens:,}"


def _gib(size: float) -> str:
    gib = size / GIB
    return f"{gib:,.2f} GiB" if abs(gib) >= 0.1 else f"{gib * 1024:,.1f} MiB"
