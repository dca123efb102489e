"""Loads that take longer than computing anew."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from backend.doctor.finding import Figure, Finding
from backend.doctor.readings import Readings
from backend.doctor.thresholds import least_tokens

Transfer = Mapping[str, Any]


def loads_slower_than_recompute(readings: Readings) -> Finding | None:
    fetches = _fetches(readings)
    # Where no request made use of a fetch, all were promotions: nobody waited for them.
    if not fetches or not readings.grew("cache", "lmcache_mp_lookup_hit_l2_tokens_total"):
        return None
    # The load gate found that others would wait for the engine: then a load may be the slower one, and is meant to be.
    if readings.grew_in_tiers("counts", "load_gate_loaded_for_others_chunks"):
        return None
    tokens = [_tokens(readings, one) for one in fetches]
    if sum(tokens) < least_tokens(readings).value:
        return None
    seconds = sum(one["seconds"] for one in fetches)
    recompute, origin = _recompute_seconds(readings, tokens)
    if not recompute or seconds <= recompute:
        return None
    tiers = sorted({one["tier"] for one in fetches})
    gates = (readings.after.tiers or {}).get("gates") or {}
    if not gates.get("load", True):
        diagnosis = "The load gate is off, so LMCache loads whatever it finds. Turn it on."
        commands = (_gate_on(readings, store=bool(gates.get("store", True))), *_unprofiled(readings))
    elif readings.profile is None:
        diagnosis = "Without a profile the load gate lets every load pass. Measure, and it will not."
        commands = profile_commands(readings)
    else:
        diagnosis = "The machine does not do what its profile says: the medium became slower, or others use it, too."
        commands = profile_commands(readings)
    return Finding(
        "slow-loads",
        f"Prefixes are loaded from {' and '.join(tiers)}, and computing them anew would have been quicker.",
        (
            Figure("seconds of loads", seconds, "s", limit=recompute, origin=origin),
            Figure("loads", len(fetches)),
            Figure("tokens loaded", sum(tokens)),
            Figure("bytes a second", sum(one["size_bytes"] for one in fetches) / seconds),
        ),
        diagnosis,
        commands,
    )


def profile_commands(readings: Readings) -> tuple[str, ...]:
    """What it takes to measure a profile: an engine that lets clients empty its cache."""
    profile = readings.command("profile")
    if readings.options.allow_reset:
        return (profile,)
    return (readings.restart("--allow-reset", only_engine=True), profile)


def _fetches(readings: Readings) -> list[Transfer]:
    known = max((one["number"] for one in readings.before.transfers), default=0)
    numbers = [one["number"] for one in readings.after.transfers]
    if numbers and max(numbers) < known:  # LMCache was started again
        known = 0
    return [one for one in readings.after.transfers if one["number"] > known and one["kind"] == "fetch"]


def _tokens(readings: Readings, fetch: Transfer) -> float:
    size = float((readings.after.tiers or {}).get("chunk_bytes") or 0)
    return float(fetch["size_bytes"] / size * readings.chunk_tokens) if size else 0.0


def _recompute_seconds(readings: Readings, tokens: Sequence[float]) -> tuple[float, str]:
    """To compute as many tokens as each fetch brought; 0 where that is not known."""
    if profile := readings.profile:
        return sum(map(profile.prefill.saved_seconds, tokens)), "the profile's seconds to compute as many tokens"
    engine = readings.after.engine
    if engine is None:
        return 0.0, ""
    # Since the engine's start, since in the window it may have computed next to nothing.
    computed = engine.total("vllm:request_prefill_kv_computed_tokens_sum")
    seconds = engine.total("vllm:request_prefill_time_seconds_sum")
    rate = seconds / computed if computed else 0.0
    return rate * sum(tokens), "vLLM's own seconds of prefill a token, since its start"


def _gate_on(readings: Readings, *, store: bool) -> str:
    body = json.dumps({"load": True, "store": store})
    url = f"{readings.cache_url}/kvasir/gates"
    return shlex.join(["curl", "-sS", "-X", "PUT", url, "-H", "content-type: application/json", "-d", body])


def _unprofiled(readings: Readings) -> tuple[str, ...]:
    return profile_commands(readings) if readings.profile is None else ()
