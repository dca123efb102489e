"""The report over past requests: how much of their prompts was reused, layer by layer, and what broke the prefixes.

Two things stand beside each other. The *hit rate* is what engines told: a prefix cache reuses a beginning, so the first
`cached_tokens` of a prompt are those that were reused. The *shared* tokens are the longest beginning that one of the
recent prompts of the same engine has as well: what an unlimited prefix cache would have reused of this layout.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import quantiles

from gateway.cache_report.prefix_end import WHOLE, Cause, PrefixEnd, prefix_end
from gateway.cache_report.recent_prompts import RecentPrompts
from gateway.cache_report.served import Served, served
from gateway.prompt import Layer
from gateway.traces import Trace
from kb.items import Kind

RECENT_REQUESTS = 1000
EXAMPLES = 3


@dataclass(slots=True)
class Reuse:
    """Of `tokens`, `told_tokens` are of prompts of which the engine told the reuse, and `cached_tokens` of these were
    reused. `shared_tokens` of all tokens stood in a recent prompt. `breaks` prefixes ended here before their time.
    """

    tokens: float = 0.0
    told_tokens: float = 0.0
    cached_tokens: float = 0.0
    shared_tokens: float = 0.0
    breaks: int = 0

    @property
    def hit_rate(self) -> float | None:
        return self.cached_tokens / self.told_tokens if self.told_tokens else None

    @property
    def shared_rate(self) -> float | None:
        return self.shared_tokens / self.tokens if self.tokens else None


@dataclass(slots=True)
class Split:
    """Tokens that were reused, of the requests of which the engine told from where."""

    requests: int = 0
    engine_tokens: int = 0
    lmcache_tokens: int = 0


@dataclass(slots=True)
class Ended:
    """Prefixes that ended by one cause."""

    requests: int = 0
    lost_tokens: float = 0.0


@dataclass(slots=True)
class Broken:
    """Prefixes that the same item broke in the same way. `examples` are the first of them."""

    cause: Cause
    layer: Layer
    item: str | None
    requests: int = 0
    other_commit: int = 0
    lost_tokens: float = 0.0
    examples: list[PrefixEnd] = field(default_factory=list)

    def add(self, end: PrefixEnd) -> None:
        self.requests += 1
        self.other_commit += end.other_commit
        self.lost_tokens += end.lost_tokens
        if len(self.examples) < EXAMPLES:
            self.examples.append(end)


@dataclass(slots=True)
class CacheReport:
    """`left_out` counts requests by why they are not in it; `recent` prompts were compared with each."""

    recent: int
    requests: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    total: Reuse = field(default_factory=Reuse)
    split: Split = field(default_factory=Split)
    stable_prefix_tokens: list[int] = field(default_factory=list)
    ttft_seconds: list[float] = field(default_factory=list)
    layers: dict[Layer, Reuse] = field(default_factory=dict)
    kinds: dict[Kind, Reuse] = field(default_factory=dict)
    ends: dict[Cause, Ended] = field(default_factory=dict)
    broken: dict[tuple[Cause, Layer, str | None], Broken] = field(default_factory=dict)

    def most_broken(self) -> list[Broken]:
        """What broke most prefixes first; of equals, what lost more."""
        return sorted(
            self.broken.values(), key=lambda one: (-one.requests, -one.lost_tokens, one.layer, one.item or "")
        )

    def ttft_quantile(self, percent: int) -> float | None:
        if len(self.ttft_seconds) < 2:
            return self.ttft_seconds[0] if self.ttft_seconds else None
        return quantiles(self.ttft_seconds, n=100, method="inclusive")[percent - 1]

    def add(self, request: Served, end: PrefixEnd) -> None:
        self.requests += 1
        self._add_use(request)
        self._add_end(end)
        self._add_stretches(request, end)

    def leave_out(self, trace: Trace) -> None:
        why = "failed" if trace.status != "answered" else "verified" if trace.answered_by != "engine" else "unknown"
        self.left_out[why] = self.left_out.get(why, 0) + 1

    def _add_use(self, request: Served) -> None:
        use = request.use
        if use.stable_prefix_tokens is not None:
            self.stable_prefix_tokens.append(use.stable_prefix_tokens)
        if use.ttft_seconds is not None:
            self.ttft_seconds.append(use.ttft_seconds)
        sources = use.by_source()
        if "engine" in sources:
            self.split.requests += 1
            self.split.engine_tokens += sources["engine"]
            self.split.lmcache_tokens += sources.get("lmcache", 0)

    def _add_end(self, end: PrefixEnd) -> None:
        ended = self.ends.setdefault(end.cause, Ended())
        ended.requests += 1
        ended.lost_tokens += end.lost_tokens
        if end.cause not in WHOLE:
            self.layers.setdefault(end.layer, Reuse()).breaks += 1
            self.total.breaks += 1
            key = end.cause, end.layer, end.item
            self.broken.setdefault(key, Broken(*key)).add(end)

    def _add_stretches(self, request: Served, end: PrefixEnd) -> None:
        before = 0.0
        for stretch in request.stretches:
            into = [self.total, self.layers.setdefault(stretch.layer, Reuse())]
            if stretch.kind is not None:
                into.append(self.kinds.setdefault(stretch.kind, Reuse()))
            cached = request.use.cached_tokens
            for reuse in into:
                reuse.tokens += stretch.tokens
                reuse.shared_tokens += _covered(end.shared_tokens, before, stretch.tokens)
                if cached is not None:
                    reuse.told_tokens += stretch.tokens
                    reuse.cached_tokens += _covered(cached, before, stretch.tokens)
            before += stretch.tokens


def cache_report(traces: Iterable[Trace], *, recent: int = RECENT_REQUESTS) -> CacheReport:
    """Over `traces`, oldest first, which are of one tenant: others' KV is out of its reach."""
    report = CacheReport(recent)
    by_engine: dict[str, RecentPrompts] = {}
    for trace in traces:
        request = served(trace)
        if request is None:
            report.leave_out(trace)
            continue
        recents = by_engine.setdefault(request.engine, RecentPrompts(recent))
        report.add(request, prefix_end(request, recents))
        recents.add(request)
    return report


def _covered(tokens: float, before: float, length: float) -> float:
    """How many of `length` tokens behind `before` others are among the first `tokens`."""
    return min(max(tokens - before, 0.0), length)
