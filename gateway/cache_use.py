"""What the KV cache did for one request: the object `kvasir.cache` of an answer, and what the metrics count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gateway.traces import Trace

Source = Literal["computed", "engine", "lmcache", "cached", "untold"]


@dataclass(frozen=True, slots=True)
class CacheUse:
    """Tokens of a prompt that an engine answered. `None` is what the engine does not tell, which is not 0.

    `stable_prefix_tokens` begin every conversation that its assistant begins at the same commit. `cached_tokens` were
    not computed again. Of them, `engine_cached_tokens` lay in the engine's own prefix cache, and
    `lmcache_loaded_tokens` came from LMCache; `lmcache_cached_tokens` is the prefix that LMCache held, loaded or not.
    """

    prompt_tokens: int | None
    stable_prefix_tokens: int | None
    cached_tokens: int | None
    engine_cached_tokens: int | None
    lmcache_cached_tokens: int | None
    lmcache_loaded_tokens: int | None
    ttft_seconds: float | None

    def by_source(self) -> dict[Source, int]:
        """Where the prompt's KV came from; the counts add up to `prompt_tokens`.

        `cached` is what was reused of an engine that tells the sum alone, `untold` a prompt of which it tells nothing.
        """
        prompt = self.prompt_tokens or 0
        if self.cached_tokens is None:
            return {"untold": prompt}
        computed: dict[Source, int] = {"computed": max(0, prompt - self.cached_tokens)}
        if self.lmcache_loaded_tokens is None:
            alone: Source = "cached" if self.engine_cached_tokens is None else "engine"
            return {**computed, alone: self.cached_tokens}
        # vLLM loads no more than it needs, so what it counts as cached has the last word.
        loaded = min(self.lmcache_loaded_tokens, self.cached_tokens)
        return {**computed, "engine": self.cached_tokens - loaded, "lmcache": loaded}


def cache_use(trace: Trace) -> CacheUse | None:
    """`None` where no engine answered: the prompt of a confirmed answer is never sent."""
    if trace.answered_by != "engine":
        return None
    told = trace.usage or {}
    return CacheUse(
        prompt_tokens=told.get("prompt_tokens") or trace.prompt_tokens,
        stable_prefix_tokens=trace.stable_prefix_tokens,
        cached_tokens=told.get("cached_tokens"),
        engine_cached_tokens=told.get("engine_cached_tokens"),
        lmcache_cached_tokens=told.get("lmcache_cached_tokens"),
        lmcache_loaded_tokens=told.get("lmcache_loaded_tokens"),
        ttft_seconds=trace.timings.get("ttft_seconds"),
    )
