"""The same context computed again, though nothing evicted it."""

from __future__ import annotations

import shlex

from backend.doctor.engine_args import with_arg
from backend.doctor.finding import Figure, Finding
from backend.doctor.load import computed_again, computed_tokens
from backend.doctor.readings import Readings
from backend.doctor.thresholds import least_tokens, noticeable_share


def same_context_recomputed(readings: Readings) -> Finding | None:
    computed = computed_tokens(readings)
    lost = readings.grew_in_tiers("observed", "repeats", "lost") * readings.chunk_tokens
    again = min(lost, computed_again(readings))
    share, least = noticeable_share(readings.profile), least_tokens(readings)
    if not computed or again < least.value or again / computed < share.value:
        return None
    stored = readings.grew("cache", "lmcache_mp_l1_write_chunks_total")
    diagnosis, command = _cause(readings, stored)
    return Finding(
        "same-context-recomputed",
        "Prompts are computed that were computed before, and that no cache has any more.",
        (
            Figure("tokens computed again", again, limit=least.value, origin=least.origin),
            Figure("their share of all computed", again / computed, limit=share.value, origin=share.origin),
            Figure("chunks that LMCache took into RAM", stored),
        ),
        diagnosis,
        (command,),
    )


def _cause(readings: Readings, stored: float) -> tuple[str, str]:
    if not stored:
        return (
            "The engine hands LMCache nothing to keep. Restart it, so that it connects anew.",
            readings.restart(only_engine=True),
        )
    engine = readings.after.engine
    if engine and engine.label("vllm:cache_config_info", "enable_prefix_caching") == "False":
        return (
            "vLLM's own prefix cache is off.",
            readings.restart(*with_arg(readings.options.engine_args, "--enable-prefix-caching"), only_engine=True),
        )
    log = readings.state_dir / "logs" / "cache.log"
    return (
        "It was kept and then deleted: somebody empties the cache, or ends sessions and commits that are still asked "
        "about. LMCache's log says who.",
        shlex.join(["grep", "-E", "POST /cache/clear|DELETE /(cache|kvasir)/", str(log)]),
    )
