"""Figures of what the sections measured. A ratio is that of pairs that were measured side by side, and its median."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import TypeVar

from backend.benching.figure import Asked, Figure, median_figure
from backend.benching.gate import GateSample
from backend.benching.moved import Reordered
from backend.benching.promotion import Return
from backend.benching.slow_tier import SlowTierRun
from backend.benching.tiers import RESTARTED, Sample, place_title
from backend.benching.two_engines import Crossing
from backend.benching.workloads import BatchRun, Request

One = TypeVar("One")
Key = TypeVar("Key", int, str)

ASKED_TOKENS = 8192
_ASKED = {"ram": Asked(at_least=15), "disk": Asked(at_least=10), RESTARTED: Asked(at_least=8)}
_ASKED_GATE = Asked(at_most=1.1)
_ASKED_PROMOTION = Asked(at_most=0.6)


def tier_figures(samples: Sequence[Sample], *, reference: bool) -> list[Figure]:
    """`reference` is a run with the model and on the kind of machine that the asked ratios are of."""
    found: list[Figure] = []
    for tokens, of_length in _by(samples, lambda one: one.tokens):
        for place, here in _by(of_length, lambda one: one.place):
            title = f"{place_title(place)}, {tokens} tokens"
            cold = [one.cold_seconds for one in here]
            seconds = [one.seconds for one in here]
            found.append(median_figure(f"first token from {title}", seconds, "s", baseline={"cold": median(cold)}))
            found.append(
                median_figure(
                    f"cold ÷ {title}",
                    [one.cold_seconds / one.seconds for one in here],
                    "times",
                    asked=_ASKED.get(place) if reference and tokens == ASKED_TOKENS else None,
                )
            )
    return found


def gate_figures(samples: Sequence[GateSample], title: str = "gate") -> list[Figure]:
    """The gate's seconds over those of the better of both beside it; which is better, the medians of the run say."""
    found: list[Figure] = []
    for tier, of_tier in _by(samples, lambda one: one.tier):
        for tokens, here in _by(of_tier, lambda one: one.tokens):
            loads = [one.load for one in here if one.load is not None]
            recompute, load = median(one.recompute for one in here), median(loads)
            better = min(recompute, load)
            if recompute <= load:
                ratios = [one.gate / one.recompute for one in here]
            else:
                ratios = [one.gate / one.load for one in here if one.load is not None]
            found.append(
                median_figure(
                    f"{title}: {place_title(tier)}, {tokens} tokens, beside the better choice",
                    ratios,
                    "times",
                    baseline={
                        "load always": load / better,
                        "recompute always": recompute / better,
                        "s of the better": better,
                        "tokens loaded": median(one.gate_tokens for one in here),
                    },
                    asked=_ASKED_GATE,
                )
            )
    return found


def slow_tier_figures(run: SlowTierRun) -> list[Figure]:
    bandwidth = Figure("slow tier: break-even bandwidth", run.break_even_bytes_per_second / 1e6, "MB/s", 1)
    return [bandwidth, *gate_figures(run.samples, "slow tier")]


def promotion_figures(returns: Sequence[Return]) -> list[Figure]:
    found: list[Figure] = []
    for tokens, here in _by(returns, lambda one: one.tokens):
        found.append(
            median_figure(
                f"promotion: return after a typing hint ÷ without, {tokens} tokens",
                [one.hinted / one.unhinted for one in here],
                "times",
                baseline={
                    "s with": median(one.hinted for one in here),
                    "s without": median(one.unhinted for one in here),
                    "s cold": median(one.cold for one in here),
                },
                asked=_ASKED_PROMOTION,
            )
        )
        promoted = [one.promoted for one in here]
        found.append(median_figure(f"promotion: from the hint to RAM, {tokens} tokens", promoted, "s"))
    return found


def two_engines_figures(crossings: Sequence[Crossing]) -> list[Figure]:
    found: list[Figure] = []
    for tokens, here in _by(crossings, lambda one: one.tokens):
        cold = {"cold": median(one.cold for one in here)}
        name = f"two engines: first token of the other's prefix, {tokens} tokens"
        found.append(median_figure(name, [one.hit for one in here], "s", baseline=cold))
        ratios = [one.cold / one.hit for one in here]
        found.append(median_figure(f"two engines: cold ÷ the other's prefix, {tokens} tokens", ratios, "times"))
    return found


def moved_figures(samples: Sequence[Reordered]) -> list[Figure]:
    found: list[Figure] = []
    for tokens, here in _by(samples, lambda one: one.tokens):
        baseline = {"prefix only": median(one.prefix_only for one in here), "cold": median(one.cold for one in here)}
        name = f"blend: first token of documents in another order, {tokens} tokens"
        found.append(median_figure(name, [one.moved for one in here], "s", baseline=baseline))
        ratios = [one.prefix_only / one.moved for one in here]
        found.append(median_figure(f"blend: prefix only ÷ moved, {tokens} tokens", ratios, "times"))
    return found


def workload_figures(name: str, requests: Sequence[Request]) -> list[Figure]:
    """Of the requests that return to a prefix; the hit rate is of all, first ones included."""
    back = [one for one in requests if not one.first]
    seconds = median(one.seconds for one in back)
    baseline = {"s with": seconds, "s cold": median(one.cold_seconds for one in back)}
    tokens = sum(one.tokens for one in requests)
    return [
        median_figure(
            f"{name}: cold ÷ returning", [one.cold_seconds / one.seconds for one in back], "times", baseline=baseline
        ),
        Figure(f"{name}: hit rate", sum(one.cached_tokens for one in requests) / tokens, "share", len(requests)),
    ]


def batch_figures(runs: Sequence[BatchRun]) -> list[Figure]:
    baseline = {"s with": median(one.seconds for one in runs), "s cold": median(one.cold_seconds for one in runs)}
    return [
        median_figure(
            "batch: cold ÷ with", [one.cold_seconds / one.seconds for one in runs], "times", baseline=baseline
        ),
        Figure(
            "batch: hit rate",
            sum(one.cached_tokens for one in runs) / sum(one.tokens for one in runs),
            "share",
            sum(one.prompts for one in runs),
        ),
    ]


def _by(values: Iterable[One], key: Callable[[One], Key]) -> list[tuple[Key, list[One]]]:
    """The values of each key, keys in the order in which they first come."""
    groups: dict[Key, list[One]] = {}
    for value in values:
        groups.setdefault(key(value), []).append(value)
    return list(groups.items())
