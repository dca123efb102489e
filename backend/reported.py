"""What an engine reports of one answer beside its text: tokens, what was reused of them, and the time to the first.

Sources: OpenAI's `usage`; vLLM 0.32 (`metrics` of a response, with `--enable-per-request-metrics`); LMCache 0.5.6
(`cached_token_stats` of its connector, in whole answers alone).
"""

from __future__ import annotations

from typing import Any

from backend.engine import Usage


def reported_usage(answer: Any, *, only_own_cache: bool) -> Usage | None:
    """Of a whole answer or of a stream's part. `only_own_cache`: nothing can have been reused from elsewhere."""
    raw = getattr(answer, "usage", None)
    if raw is None or raw.prompt_tokens is None:
        return None
    cached = getattr(getattr(raw, "prompt_tokens_details", None), "cached_tokens", None)
    transfer = getattr(answer, "kv_transfer_params", None)
    stats = transfer.get("cached_token_stats") if isinstance(transfer, dict) else None
    stats = stats if isinstance(stats, dict) else {}
    return Usage(
        prompt_tokens=raw.prompt_tokens,
        completion_tokens=raw.completion_tokens or 0,
        cached_tokens=cached,
        engine_cached_tokens=cached if only_own_cache else stats.get("num_vllm_cached_tokens"),
        lmcache_cached_tokens=stats.get("num_lmcache_cached_tokens"),
        lmcache_loaded_tokens=stats.get("num_lmcache_extra_cached_tokens"),
    )


def reported_ttft_seconds(answer: Any) -> float | None:
    """Of a whole answer. Embedded models tell it in seconds; vLLM in milliseconds, its queue apart."""
    said = getattr(answer, "ttft_seconds", None)
    if isinstance(said, float):
        return said
    measured = getattr(answer, "metrics", None)
    measured = measured if isinstance(measured, dict) else {}
    first, queued = measured.get("time_to_first_token_ms"), measured.get("queue_time_ms")
    return (first + (queued or 0.0)) / 1000 if isinstance(first, int | float) else None
