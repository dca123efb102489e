"""Prometheus metrics of one gateway. Tokens and hit rate use the engines' own words (see docs/architecture.md)."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from backend.engine import Usage
from gateway.cache_metrics import CacheCollector
from gateway.cache_use import cache_use
from gateway.core import Assistant, Core
from gateway.replica_metrics import ReplicaCollector
from gateway.traces import Trace
from gateway.warming import Warmed

_TOKENS = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072)
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    def __init__(self, core: Core) -> None:
        self._proposals = core.proposals
        self.registry = CollectorRegistry()
        self.registry.register(CacheCollector(core.caches))
        self.registry.register(ReplicaCollector(core.engines))
        labels = ["tenant", "assistant"]
        self._requests = Counter(
            "kvasir_requests", "Questions, by how they ended", [*labels, "outcome"], registry=self.registry
        )
        self._prompt_tokens = Counter("kvasir_prompt_tokens", "Tokens sent to engines", labels, registry=self.registry)
        self._cached_tokens = Counter(
            "kvasir_cached_prompt_tokens", "Prompt tokens whose KV was reused", labels, registry=self.registry
        )
        self._by_source = Counter(
            "kvasir_prompt_tokens_by_source",
            "Prompt tokens, by where their KV came from",
            [*labels, "source"],
            registry=self.registry,
        )
        self._stable_tokens = Counter(
            "kvasir_stable_prefix_tokens",
            "Prompt tokens that all conversations begun at one commit share",
            labels,
            registry=self.registry,
        )
        self._tokens = Histogram(
            "kvasir_request_tokens",
            "Tokens of a request's prompt and of parts of it",
            ["assistant", "part"],
            buckets=_TOKENS,
            registry=self.registry,
        )
        self._completion_tokens = Counter(
            "kvasir_completion_tokens", "Tokens that engines wrote", labels, registry=self.registry
        )
        self._seconds = Histogram(
            "kvasir_request_seconds",
            "Seconds of a request's phases",
            ["assistant", "phase"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._verifications = Counter(
            "kvasir_verifications", "Answers checked on a datasource", ["assistant", "status"], registry=self.registry
        )
        self._confirmations = Counter(
            "kvasir_confirmations", "Verdicts of people", ["tenant", "verdict"], registry=self.registry
        )
        self._warmed = Counter(
            "kvasir_warmed_prefixes",
            "Knowledge prefixes of landed commits, by what they needed",
            [*labels, "outcome"],
            registry=self.registry,
        )
        self._warming_seconds = Counter(
            "kvasir_warming_seconds", "Seconds spent on warming landed commits", labels, registry=self.registry
        )
        self._by_state = Gauge("kvasir_proposals", "Proposals, by state", ["state"], registry=self.registry)

    def answered(self, trace: Trace) -> None:
        self._requests.labels(trace.tenant, trace.assistant, trace.answered_by or "engine").inc()
        usage = trace.usage or {}
        counts = (usage.get("prompt_tokens"), usage.get("cached_tokens"), usage.get("completion_tokens"))
        self._count_tokens(trace.tenant, trace.assistant, *counts)
        self._cache(trace)
        for phase, seconds in trace.timings.items():
            self._seconds.labels(trace.assistant, phase.removesuffix("_seconds")).observe(seconds)
        if trace.verification:
            self._verifications.labels(trace.assistant, trace.verification["status"]).inc()

    def _cache(self, trace: Trace) -> None:
        """What was not told is not observed: a count of zero would pull every average down."""
        use = cache_use(trace)
        if use is None:
            return
        for source, tokens in use.by_source().items():
            self._by_source.labels(trace.tenant, trace.assistant, source).inc(tokens)
        self._stable_tokens.labels(trace.tenant, trace.assistant).inc(use.stable_prefix_tokens or 0)
        parts = {
            "prompt": use.prompt_tokens,
            "stable_prefix": use.stable_prefix_tokens,
            "cached": use.cached_tokens,
            "engine_cached": use.engine_cached_tokens,
            "lmcache_loaded": use.lmcache_loaded_tokens,
        }
        for part, counted in parts.items():
            if counted is not None:
                self._tokens.labels(trace.assistant, part).observe(counted)

    def passed(self, tenant: str, model: str, usage: Usage | None) -> None:
        """An engine that was named itself has answered; `model` stands where an assistant's name stands."""
        self._requests.labels(tenant, model, "passed").inc()
        if usage is not None:
            self._count_tokens(tenant, model, usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens)

    def failed(self, tenant: str, assistant: str, error: Exception) -> None:
        self._requests.labels(tenant, assistant, type(error).__name__).inc()

    def confirmed(self, tenant: str, verdict: str) -> None:
        self._confirmations.labels(tenant, verdict).inc()

    def warmed(self, assistant: Assistant, warmed: Warmed) -> None:
        labels = (assistant.settings.tenant, assistant.name)
        for outcome in ("kept", "computed", "left_out"):
            self._warmed.labels(*labels, outcome).inc(getattr(warmed, outcome))
        self._warming_seconds.labels(*labels).inc(warmed.seconds)

    def _count_tokens(
        self, tenant: str, model: str, prompt: int | None, cached: int | None, completion: int | None
    ) -> None:
        self._prompt_tokens.labels(tenant, model).inc(prompt or 0)
        self._cached_tokens.labels(tenant, model).inc(cached or 0)
        self._completion_tokens.labels(tenant, model).inc(completion or 0)

    def render(self) -> bytes:
        """The text format that Prometheus scrapes."""
        self._by_state.clear()
        for state, count in self._proposals.counts().items():
            self._by_state.labels(state).set(count)
        return generate_latest(self.registry)
