"""A simulation's results as a table and as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from backend.simulation.cases import CaseResult
from backend.simulation.trace import Trace


def to_data(trace: Trace, results: Sequence[CaseResult]) -> dict[str, Any]:
    return {
        "trace": {
            "requests": len(trace),
            "blocks": len(trace.blocks),
            "unique_blocks": trace.unique_blocks,
            "block_tokens": trace.block_tokens,
            "seconds": float(trace.seconds[-1] - trace.seconds[0]),
        },
        "results": [_result_data(one) for one in results],
    }


def _result_data(one: CaseResult) -> dict[str, Any]:
    return {
        **asdict(one.result),
        "hit_rate": one.result.hit_rate,
        "block_hit_rate": one.result.block_hit_rate,
        "gap_closed": one.gap_closed,
        "store_gate": one.case.gate.name,
    }


def print_table(trace: Trace, results: Sequence[CaseResult], console: Console) -> None:
    console.print(
        f"{len(trace):,} requests, {len(trace.blocks):,} blocks of {trace.block_tokens} tokens, "
        f"{trace.unique_blocks:,} of them unique",
        highlight=False,
    )
    table = Table()
    table.add_column("policy")
    names = [tier.name for tier in results[0].result.tiers]
    by_tier = [f"from {name}" for name in names] if len(names) > 1 else []
    for heading in ("blocks", "hit rate", "in blocks", *by_tier, "gap closed", "TTFT saved", f"GB to {names[-1]}"):
        table.add_column(heading, justify="right")
    for one in results:
        table.add_row(*_cells(one))
    console.print(table)


def _cells(one: CaseResult) -> list[str]:
    result = one.result
    written = result.tiers[-1].written_bytes
    share = result.ttft_saved_seconds / result.prefill_seconds if result.prefill_seconds else 0.0
    by_tier = [f"{tier.hit_tokens / max(result.queried_tokens, 1):.4f}" for tier in result.tiers]
    return [
        result.policy,
        " + ".join(f"{tier.capacity_blocks:,}" for tier in result.tiers),
        f"{result.hit_rate:.4f}",
        f"{result.block_hit_rate:.4f}",
        *(by_tier if len(by_tier) > 1 else []),
        "–" if one.gap_closed is None else f"{one.gap_closed:.1%}",
        f"{share:.1%}",
        "–" if written is None else f"{written / 1e9:,.0f}",
    ]
