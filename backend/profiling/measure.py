"""Measures the running pair: prefill by length, and each tier's loads and stores by length.

Every prompt is random tokens, so nothing of it is cached. It is asked cold; then, with vLLM's own cache emptied, from
LMCache's memory; then, with that emptied as well and the operating system's page cache dropped, from the slower tier.
The engine's own count of cached tokens says whether a measurement measured what it should.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backend.errors import MeasurementFailed
from backend.polling import until
from backend.profiling.fit import beyond, fit_line, fit_prefill
from backend.profiling.pair import FirstToken, MeasuredPair
from backend.profiling.prompts import BEYOND_CHUNKS, Prompts, ordinary_tokens
from backend.profiling.raw import Bandwidth, disk_bandwidth, drop_page_caches, memory_bandwidth
from backend.tiers.profile import RAM, Profile, Sample, TierProfile

Progress = Callable[[str], None]

LEAST_LENGTHS = 3
"""To fit what a prompt costs: a constant, its tokens, and their square."""
_SESSION = "kvasir-profile"
_TIMED_SECONDS = 2.0
_USE_CASE = {"disk": None, "shared": "document"}
_TOKENIZER_TEXT = "How many orders placed in 2025 were cancelled, by country and month? "


@dataclass
class _Found:
    """Seconds by tokens, for each curve."""

    cold: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    gpu: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    load: dict[str, dict[int, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    fetch: dict[str, dict[int, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    store: dict[str, dict[int, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    bytes_per_token: int = 0


def profile_lengths(window_tokens: int, chunk_tokens: int) -> tuple[int, ...]:
    """Whole chunks, doubling, from two chunks to the longest that fits the window."""
    most = (window_tokens - BEYOND_CHUNKS - 1) // chunk_tokens * chunk_tokens
    lengths: list[int] = []
    length = 2 * chunk_tokens
    while length < most:
        lengths.append(length)
        length *= 2
    return (*lengths, most)


def measure(
    pair: MeasuredPair,
    lengths: Sequence[int],
    repeats: int,
    vocabulary: int,
    versions: dict[str, str],
    on_progress: Progress = lambda _: None,
) -> Profile:
    """The profile. `lengths` are multiples of the chunk, at least `LEAST_LENGTHS`; `vocabulary` is the model's tokens.

    The gates are off meanwhile and set back at the end, and what was stored for it is deleted.
    Raises `MeasurementFailed`.
    """
    before = pair.status()
    chunk = before["chunk_tokens"]
    if len(set(lengths)) < LEAST_LENGTHS or any(length <= 0 or length % chunk for length in lengths):
        raise MeasurementFailed(
            "--lengths", f"give at least {LEAST_LENGTHS} different multiples of the chunk, {chunk} tokens"
        )
    found = _Found()
    prompts = Prompts(ordinary_tokens(vocabulary))
    try:
        pair.set_gates(load=False, store=False)
        pair.empty_engine()  # a pair that does not allow it is told so before minutes are spent
        on_progress("warming up")
        disks = [name for name, tier in before["tiers"].items() if tier["role"] == "disk"]
        found.bytes_per_token = learn_kv_bytes(pair, prompts.beyond(min(lengths)), min(lengths), disks)
        for repeat in range(repeats):
            for length in sorted(lengths):
                for tier, known in before["tiers"].items():
                    on_progress(f"repeat {repeat + 1} of {repeats}: {length} tokens, {tier}")
                    _one(pair, tier, known, prompts.beyond(length), length, found)
                    # A session is one growing prompt, so the next one would hide this.
                    pair.forget_session(_SESSION)
    finally:
        with suppress(MeasurementFailed):
            pair.forget_session(_SESSION)
        with suppress(MeasurementFailed):
            pair.set_gates(**before["gates"])
    on_progress("bandwidths and tokenizer")
    return _profile(pair, before, found, versions)


def _one(pair: MeasuredPair, tier: str, known: dict[str, Any], prompt: list[int], length: int, found: _Found) -> None:
    pair.note(prompt, session=_SESSION, use_case=_USE_CASE[known["role"]])
    mark = pair.last_transfer()
    found.cold[length].append(_checked(pair.first_token(prompt), "cold prompt", at_most=0).seconds)
    size = length * found.bytes_per_token
    pair.await_stored(RAM, size, mark)
    stored = pair.await_stored(tier, size, mark)
    for name in (RAM, tier):
        seconds = [one["seconds"] for one in pair.transfers(mark) if (one["kind"], one["tier"]) == ("store", name)]
        found.store[name][length].append(sum(seconds))
    found.gpu[length].append(pair.first_token(prompt).seconds)

    pair.empty_engine()
    found.load[RAM][length].append(_checked(pair.first_token(prompt), RAM, at_least=length).seconds)

    if sum(one["size_bytes"] for one in stored) < size:
        raise MeasurementFailed(tier, f"it did not take {size} bytes; give it more room (--disk-gb) or shorter prompts")
    pair.empty_engine()
    pair.empty_ram()
    if known["folder"]:
        drop_page_caches(Path(known["folder"]))
    mark = pair.last_transfer()
    found.load[tier][length].append(_checked(pair.first_token(prompt), tier, at_least=length).seconds)
    found.fetch[tier][length].append(_fetch_seconds(pair, tier, mark))
    pair.empty_engine()


def learn_kv_bytes(pair: MeasuredPair, prompt: list[int], length: int, disks: Sequence[str]) -> int:
    """Bytes of KV a token, from what a first prompt stores. That comes in parts, so until nothing more does."""
    pair.note(prompt, session=_SESSION, use_case=None)
    mark = pair.last_transfer()
    pair.first_token(prompt)
    before, total = -1, 0
    while total != before or total == 0:
        time.sleep(1.0)
        before, total = total, sum(one["size_bytes"] for one in pair.await_stored(RAM, 1, mark))
        if total == 0:
            raise MeasurementFailed("warming up", "nothing was stored into LMCache's memory; read the cache's log")
    for disk in disks:  # a slow one would still be at it, and be taken for the first measurement
        pair.await_stored(disk, total, mark)
    pair.forget_session(_SESSION)
    return total // length


def _fetch_seconds(pair: MeasuredPair, tier: str, mark: int) -> float:
    def fetches() -> list[float]:
        return [one["seconds"] for one in pair.transfers(mark) if (one["kind"], one["tier"]) == ("fetch", tier)]

    # The events that time it arrive a moment after the answer.
    if seconds := until(fetches, seconds=_TIMED_SECONDS):
        return float(sum(seconds))
    raise MeasurementFailed(tier, "LMCache reported no fetch; is its observability disabled?")


def _checked(answer: FirstToken, what: str, *, at_least: int = 0, at_most: int | None = None) -> FirstToken:
    if answer.cached_tokens < at_least or (at_most is not None and answer.cached_tokens > at_most):
        wanted = f"at least {at_least}" if at_most is None else f"at most {at_most}"
        raise MeasurementFailed(
            what,
            f"{answer.cached_tokens} tokens were cached, and should have been {wanted}; "
            "see that nothing else uses the pair, and that RAM (--l1-size-gb) holds the longest prompt",
        )
    return answer


def _profile(pair: MeasuredPair, before: dict[str, Any], found: _Found, versions: dict[str, str]) -> Profile:
    prefill = fit_prefill(_samples(found.cold))
    tiers: dict[str, TierProfile] = {}
    for name in (RAM, *before["tiers"]):
        raw = _raw(None if name == RAM else before["tiers"][name]["folder"], memory=name == RAM)
        load, fetch, store = (_samples(curve[name]) for curve in (found.load, found.fetch, found.store))
        tiers[name] = TierProfile(
            load=beyond(fit_line(load), prefill.constant_seconds),
            fetch=fit_line(fetch),
            store=fit_line(store),
            load_samples=load,
            fetch_samples=fetch,
            store_samples=store,
            raw_read_bytes_per_second=raw.read if raw else None,
            raw_write_bytes_per_second=raw.write if raw else None,
        )
    return Profile(
        model=before["model"],
        chunk_tokens=before["chunk_tokens"],
        kv_bytes_per_token=found.bytes_per_token,
        prefill=prefill,
        tiers=tiers,
        prefill_samples=_samples(found.cold),
        gpu_hit_samples=_samples(found.gpu),
        tokenizer_tokens_per_second=_tokenizer_rate(pair),
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=versions,
    )


def _raw(folder: str | None, *, memory: bool) -> Bandwidth | None:
    if memory:
        return memory_bandwidth()
    return disk_bandwidth(Path(folder)) if folder else None


def _tokenizer_rate(pair: MeasuredPair) -> float:
    text = _TOKENIZER_TEXT * 500
    pair.count_tokens(_TOKENIZER_TEXT)
    begun = time.perf_counter()
    count = pair.count_tokens(text)
    return count / (time.perf_counter() - begun)


def _samples(curve: dict[int, list[float]]) -> tuple[Sample, ...]:
    return tuple(Sample(tokens, tuple(seconds)) for tokens, seconds in sorted(curve.items()))
