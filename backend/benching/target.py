"""What is measured: a running pair, or any vLLM, and what can be done with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx

from backend.errors import MeasurementFailed
from backend.launch_state import read_state
from backend.plan import LaunchOptions
from backend.profiling.pair import MeasuredPair, PairAddress
from backend.profiling.prompts import BEYOND_CHUNKS, Prompts, ordinary_tokens
from backend.profiling.run import vocabulary_tokens
from backend.tiers.use_case import UseCase

Progress = Callable[[str], None]

SESSION = "kvasir-bench"
_CHUNK_TOKENS = 256
_NO_LMCACHE = "is LMCache's, and '--api-base' says nothing of it; start the pair with 'kvasir backend up' for that"
_NO_POLICIES = "needs LMCache with Kvasir's policies, and this one runs without (--plain-cache)"
_NO_RESET = "vLLM's own cache cannot be emptied; start it with 'kvasir backend up --allow-reset'"
_TEXT = "How many orders placed in 2025 were cancelled, by country and month? Show 0123456789, name and total. "


@dataclass(frozen=True)
class SlowTier:
    """A tier behind LMCache's memory. `folder` is there for one of files."""

    name: str
    role: Literal["disk", "shared"]
    folder: Path | None

    @property
    def use_case(self) -> UseCase:
        """One whose prompts are stored there, whatever the pair does with prompts of which nothing is said."""
        return "document" if self.role == "shared" else "code"


@dataclass
class Target:
    """`missing` says of what cannot be measured here why: `ram`, `disk`, `shared`, `policies`, `restart`.

    `restart` stops the engine and starts it again while LMCache lives. `profiled` is whether LMCache has a profile.
    """

    pair: MeasuredPair
    prompts: Prompts
    window_tokens: int
    chunk_tokens: int
    tiers: tuple[SlowTier, ...] = ()
    missing: dict[str, str] = field(default_factory=dict)
    restart: Callable[[], None] | None = None
    profiled: bool = False
    kv_bytes_per_token: int = 0

    @property
    def has_policies(self) -> bool:
        return "policies" not in self.missing

    def whole(self, tokens: int) -> int:
        """The chunks of a prompt of `tokens` tokens, in tokens."""
        return tokens // self.chunk_tokens * self.chunk_tokens

    def check_lengths(self, lengths: tuple[int, ...]) -> None:
        """Raises `MeasurementFailed` for one that is no chunk or does not fit the window."""
        most = self.whole(self.window_tokens - BEYOND_CHUNKS - 1)
        for length in lengths:
            if length <= 0 or length % self.chunk_tokens or length > most:
                raise MeasurementFailed(
                    "--lengths", f"{length}: give multiples of the chunk, {self.chunk_tokens} tokens, up to {most}"
                )

    @contextmanager
    def gates(self, *, load: bool, store: bool) -> Iterator[None]:
        """The gates so for the block; they are set back at its end. Nothing without Kvasir's policies."""
        if not self.has_policies:
            yield
            return
        before = self.pair.status()["gates"]
        self.pair.set_gates(load=load, store=store)
        try:
            yield
        finally:
            with suppress(MeasurementFailed):
                self.pair.set_gates(**before)


def api_target(api_base: str) -> Target:
    """Any vLLM that speaks OpenAI's API, at an address such as `http://host:8100/v1`. Raises `MeasurementFailed`."""
    url = api_base.rstrip("/").removesuffix("/v1")
    try:
        answer = httpx.get(f"{url}/v1/models", timeout=30, trust_env=False)
        model = answer.raise_for_status().json()["data"][0]
        name = str(model["id"])
    except (httpx.HTTPError, ValueError, KeyError, IndexError) as exc:
        raise MeasurementFailed("--api-base", f"no OpenAI server with a model answers at {url}/v1 ({exc!r})") from exc
    pair = MeasuredPair(PairAddress(url, "", name))
    if not model.get("max_model_len"):
        raise MeasurementFailed("--api-base", f"{url} does not say its max_model_len; it is no vLLM")
    tokens = sorted(set(pair.token_ids(_TEXT)))
    missing = dict.fromkeys(("ram", "disk", "shared", "policies"), _NO_LMCACHE)
    missing["restart"] = "is left to who started it"
    return Target(pair, Prompts(tokens), int(model["max_model_len"]), _CHUNK_TOKENS, missing=missing)


def running_target(state_dir: Path, restart: Callable[[], None] | None = None) -> Target:
    """The pair that runs from `state_dir`. Raises `MeasurementFailed`."""
    state_dir = state_dir.expanduser().resolve()
    state = read_state(state_dir)
    options, name = state.options, state.served_name
    if options is None or name is None:
        raise MeasurementFailed(
            "start",
            f"nothing was started in '{state_dir}'; start it with 'kvasir backend up --allow-reset', or add --own",
        )
    pair = MeasuredPair(
        PairAddress(f"http://127.0.0.1:{options.engine_port}", f"http://127.0.0.1:{options.cache_http_port}", name)
    )
    missing: dict[str, str] = {}
    prompts = Prompts(ordinary_tokens(vocabulary_tokens(options.model)))
    target = Target(pair, prompts, pair.window_tokens(), options.chunk_tokens, missing=missing, restart=restart)
    if restart is None:
        missing["restart"] = "stops the engine for a minute; allow it with --restart"
    if options.policy:
        status = pair.status()
        target.tiers = tuple(_tier(name, known) for name, known in status["tiers"].items())
        target.profiled = status["profile"] is not None
    else:
        missing["policies"] = _NO_POLICIES
        target.tiers = (SlowTier("disk", "disk", _disk_folder(options, state_dir)),)
    if all(tier.role != "shared" for tier in target.tiers):
        missing["shared"] = "the pair has no shared tier (--shared-tier)" if options.policy else _NO_POLICIES
    if not pair.may_empty_engine():
        missing.update(dict.fromkeys(("ram", "disk", "shared"), _NO_RESET))
    return target


def _tier(name: str, known: dict[str, Any]) -> SlowTier:
    return SlowTier(name, known["role"], Path(known["folder"]) if known["folder"] else None)


def _disk_folder(options: LaunchOptions, state_dir: Path) -> Path | None:
    if options.disk_adapter:
        folder = json.loads(options.disk_adapter).get("base_path")
        return Path(folder) if folder else None
    return options.kv_dir or state_dir / "kv"
