"""What an engine reports of one answer beside its text: tokens, what was reused of them, and the time to the first.

Sources: OpenAI's `usage`; vLLM 0.32 (`metrics` of a response, with `--enable-per-request-metrics`); LMCache 0.5.6
(`cached_token_stats` of its connector, in whole answers alone).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backend.engine import Usage


def reported_usage(answer: Any, *, only_own_cache: bool) -> Usage | None:
    """Of LiteLLM's whole answer or part of a stream. `only_own_cache`: nothing can have been reused from elsewhere."""
    raw = getattr(answer, "usage", None)
    if raw is None or raw.prompt_tokens is None:
        return None
    cached = getattr(getattr(raw, "prompt_tokens_details", None), "cached_tokens", None)
    return Usage(
        prompt_tokens=raw.prompt_tokens,
        completion_tokens=raw.completion_tokens or 0,
        cached_tokens=cached,
        engine_cached_tokens=cached if only_own_cache else None,
    )


def reported_ttft_seconds(answer: Any) -> float | None:
    """Of LiteLLM's whole answer: embedded models tell it."""
    said = getattr(answer, "ttft_seconds", None)
    return said if isinstance(said, float) else None


def served_usage(answer: Mapping[str, Any]) -> Usage | None:
    """Of what a server sent: a whole answer, or an event of a stream."""
    raw = _object(answer, "usage")
    prompt_tokens = raw.get("prompt_tokens")
    if not isinstance(prompt_tokens, int):
        return None
    stats = _object(_object(answer, "kv_transfer_params"), "cached_token_stats")
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=raw.get("completion_tokens") or 0,
        cached_tokens=_object(raw, "prompt_tokens_details").get("cached_tokens"),
        engine_cached_tokens=stats.get("num_vllm_cached_tokens"),
        lmcache_cached_tokens=stats.get("num_lmcache_cached_tokens"),
        lmcache_loaded_tokens=stats.get("num_lmcache_extra_cached_tokens"),
    )


def served_ttft_seconds(answer: Mapping[str, Any]) -> float | None:
    """Of a server's whole answer: vLLM tells it in milliseconds, its queue apart."""
    measured = _object(answer, "metrics")
    first, queued = measured.get("time_to_first_token_ms"), measured.get("queue_time_ms")
    return (first + (queued or 0.0)) / 1000 if isinstance(first, int | float) else None


def _object(within: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = within.get(name)
    return found if isinstance(found, dict) else {}
