"""A cache report as data and as tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, get_args

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.cache_report.prefix_end import CAUSES, PrefixEnd
from gateway.cache_report.report import Broken, CacheReport, Reuse
from gateway.counted import counted
from gateway.prompt import Layer
from kb.items import KINDS

_LEFT_OUT = {
    "failed": "failed",
    "verified": "were answered without an engine",
    "unknown": "are not known well enough: an older gateway kept them, or their tokens were not counted",
}


def report_data(report: CacheReport, top: int) -> dict[str, Any]:
    stable = report.stable_prefix_tokens
    return {
        "requests": report.requests,
        "left_out": report.left_out,
        "recent": report.recent,
        **_reuse(report.total),
        "by_source": {
            "requests": report.split.requests,
            "engine_cached_tokens": report.split.engine_tokens,
            "lmcache_loaded_tokens": report.split.lmcache_tokens,
        },
        "stable_prefix": {"requests": len(stable), "tokens": sum(stable)},
        "ttft_seconds": {
            "requests": len(report.ttft_seconds),
            "p50": report.ttft_quantile(50),
            "p90": report.ttft_quantile(90),
        },
        "layers": {name: _reuse(reuse) for name, reuse in _in_order(report.layers, get_args(Layer))},
        "kinds": {name: _reuse(reuse) for name, reuse in _in_order(report.kinds, KINDS)},
        "ends": {
            cause: {"requests": ended.requests, "lost_tokens": round(ended.lost_tokens)}
            for cause, ended in _in_order(report.ends, CAUSES)
        },
        "broken_by": [_broken(one) for one in report.most_broken()[:top]],
    }


def print_report(report: CacheReport, top: int, console: Console) -> None:
    for line in _summary(report):
        console.print(line, highlight=False)
    console.print(_reuse_table("layer", _in_order(report.layers, get_args(Layer))))
    if report.kinds:
        console.print(_reuse_table("item kind", _in_order(report.kinds, KINDS)))
    console.print(_ends_table(report))
    if report.broken:
        console.print(_broken_table(report.most_broken()[:top]))


def _reuse(reuse: Reuse) -> dict[str, Any]:
    return {
        "tokens": round(reuse.tokens),
        "told_tokens": round(reuse.told_tokens),
        "cached_tokens": round(reuse.cached_tokens),
        "hit_rate": reuse.hit_rate,
        "shared_tokens": round(reuse.shared_tokens),
        "shared_rate": reuse.shared_rate,
        "breaks": reuse.breaks,
    }


def _broken(one: Broken) -> dict[str, Any]:
    return {
        "cause": one.cause,
        "layer": one.layer,
        "item": one.item,
        "requests": one.requests,
        "other_commit": one.other_commit,
        "lost_tokens": round(one.lost_tokens),
        "examples": [_example(end) for end in one.examples],
    }


def _example(end: PrefixEnd) -> dict[str, Any]:
    return {
        "request_id": end.request,
        "recent_request_id": end.recent,
        "instead_of": end.instead_of,
        "other_commit": end.other_commit,
        "shared_tokens": round(end.shared_tokens),
        "lost_tokens": round(end.lost_tokens),
    }


def _summary(report: CacheReport) -> Iterable[str]:
    total = report.total
    yield f"{counted(report.requests, 'request')}, {total.tokens:,.0f} tokens of prompts"
    for why, count in report.left_out.items():
        yield f"left out: {count:,} that {_LEFT_OUT[why]}"
    if total.hit_rate is None:
        yield "hit rate: not known; no engine told what it reused"
    else:
        told = f"{total.cached_tokens:,.0f} of {total.told_tokens:,.0f} tokens, as engines told"
        yield f"hit rate {total.hit_rate:.1%}: {told}"
    if report.split.requests:
        split = report.split
        told = f"of {counted(split.requests, 'request')} the engine told from where"
        own = f"{split.engine_tokens:,} tokens of its own cache"
        yield f"{told}: {own}, {split.lmcache_tokens:,} loaded from LMCache"
    yield f"shared {total.shared_rate or 0:.1%}: also began one of the {report.recent:,} prompts before it"
    if report.stable_prefix_tokens:
        mean = sum(report.stable_prefix_tokens) / len(report.stable_prefix_tokens)
        yield f"stable prefix: {mean:,.0f} tokens a request on average"
    if report.ttft_seconds:
        of = f"of {counted(len(report.ttft_seconds), 'request')} that it is known of"
        yield f"TTFT: median {report.ttft_quantile(50):.3f} s, p90 {report.ttft_quantile(90):.3f} s, {of}"


def _reuse_table(name: str, rows: Iterable[tuple[str, Reuse]]) -> Table:
    table = _table(name, "tokens", "hit rate", "shared", *(["breaks"] if name == "layer" else []))
    for key, reuse in rows:
        breaks = [f"{reuse.breaks:,}"] if name == "layer" else []
        table.add_row(key, f"{reuse.tokens:,.0f}", _share(reuse.hit_rate), _share(reuse.shared_rate), *breaks)
    return table


def _ends_table(report: CacheReport) -> Table:
    table = _table("where what is shared ends", "requests", "lost tokens")
    for cause, ended in _in_order(report.ends, CAUSES):
        table.add_row(f"{cause}: {CAUSES[cause]}", f"{ended.requests:,}", f"{ended.lost_tokens:,.0f}")
    return table


def _broken_table(broken: Sequence[Broken]) -> Table:
    table = _table("broken most often by", "requests", "other commit", "lost tokens")
    table.add_column("such as", overflow="fold")
    for one in broken:
        end = one.examples[0]
        what = f"{one.cause} in {one.layer}" + (f": {one.item}" if one.item else "")
        example = f"{end.request} after {end.recent}" + (f", instead of {end.instead_of}" if end.instead_of else "")
        counts = (f"{one.requests:,}", f"{one.other_commit:,}", f"{one.lost_tokens:,.0f}")
        table.add_row(escape(what), *counts, escape(example))
    return table


def _table(name: str, *numbers: str) -> Table:
    table = Table()
    table.add_column(name, overflow="fold")  # an id that is cut names nothing
    for heading in numbers:
        table.add_column(heading, justify="right")
    return table


def _in_order(found: dict[Any, Any], order: Iterable[Any]) -> list[tuple[Any, Any]]:
    return [(name, found[name]) for name in order if name in found]


def _share(rate: float | None) -> str:
    return "–" if rate is None else f"{rate:.1%}"
