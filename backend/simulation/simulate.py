"""Replays a trace through tiers under one policy and adds up what was hit, saved and written."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from backend.simulation.arc import ARC
from backend.simulation.errors import SimulationOptionInvalid
from backend.simulation.fifo import FIFO
from backend.simulation.kvasir_policy import IDEAS, KvasirPolicy
from backend.simulation.live import Live
from backend.simulation.lru import LRU
from backend.simulation.optimum import Optimum
from backend.simulation.policy import Policy
from backend.simulation.s3fifo import S3FIFO
from backend.simulation.store_gate import WRITE_ALL, GateName, RecurrenceGate, StoreGate
from backend.simulation.tiers import Stretch, TierSpec, cached_prefix
from backend.simulation.trace import Request, Trace

POLICIES = ("fifo", "lru", "s3fifo", "arc", "live", "kvasir", "optimum")
_BY_BLOCK: dict[str, Callable[[int], Policy]] = {"fifo": FIFO, "lru": LRU, "s3fifo": S3FIFO, "arc": ARC, "live": Live}
REQUESTS_BETWEEN_REPORTS = 200_000


@dataclass(frozen=True)
class Machine:
    """`prefill_tokens_per_second` is how fast a prompt is computed; `block_bytes` the KV of one full block."""

    prefill_tokens_per_second: float
    block_bytes: int


@dataclass(frozen=True)
class TierResult:
    """`written_blocks` is `None` for the optimum, which does not say."""

    name: str
    capacity_blocks: int
    hit_blocks: int
    hit_tokens: int
    written_blocks: int | None
    written_bytes: int | None


@dataclass(frozen=True)
class PolicyResult:
    """Of one policy. `hit_rate` is hit tokens over queried tokens, `block_hit_rate` the same in blocks.
    `prefill_seconds` is what computing every prompt would take; `ttft_saved_seconds` how much less it takes to load
    what is cached where that is quicker.
    """

    policy: str
    requests: int
    queried_blocks: int
    queried_tokens: int
    hit_blocks: int
    hit_tokens: int
    prefill_seconds: float
    ttft_saved_seconds: float
    tiers: tuple[TierResult, ...]
    cpu_seconds: float

    @property
    def hit_rate(self) -> float:
        return self.hit_tokens / self.queried_tokens if self.queried_tokens else 0.0

    @property
    def block_hit_rate(self) -> float:
        return self.hit_blocks / self.queried_blocks


def check_policy(name: str, gate: GateName) -> None:
    """Raises `SimulationOptionInvalid` unless `name` is a policy, or `kvasir:` with ideas of it, and can be used with
    the gate.
    """
    base, _, ideas = name.partition(":")
    if base not in POLICIES or (ideas and base != "kvasir"):
        raise SimulationOptionInvalid("--policy", f"'{name}' is no policy; there are {', '.join(POLICIES)}")
    for idea in filter(None, ideas.split("+")):
        if idea not in IDEAS:
            known = ", ".join(IDEAS)
            raise SimulationOptionInvalid("--policy", f"'{idea}' in '{name}' is no idea of kvasir; there are {known}")
    if gate == "worth" and base not in ("kvasir", "optimum"):
        raise SimulationOptionInvalid(
            "--store-gate", f"worth needs the policy kvasir, not '{name}'; use recurrence, or --policy kvasir"
        )


def simulate(
    trace: Trace,
    tiers: tuple[TierSpec, ...],
    policy: str,
    machine: Machine,
    gate: StoreGate = WRITE_ALL,
    progress: Callable[[str], None] | None = None,
) -> PolicyResult:
    """Raises `SimulationOptionInvalid` for a policy that is not there, or cannot work with the gate."""
    check_policy(policy, gate.name)
    with _collector_paused():
        return _replay(trace, tiers, policy, machine, gate, progress)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Python's cyclic collector would look through what is remembered of millions of runs, over and over. A replay
    makes no cycles.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _replay(
    trace: Trace,
    tiers: tuple[TierSpec, ...],
    policy: str,
    machine: Machine,
    gate: StoreGate,
    progress: Callable[[str], None] | None,
) -> PolicyResult:
    begun = time.process_time()
    stores = _policies(trace, tiers, policy, gate)
    recurrence = RecurrenceGate(trace) if gate.name == "recurrence" and policy != "optimum" else None
    tally = _Tally(trace.block_tokens, tiers, machine)
    last = len(stores) - 1
    for request in trace.requests():
        if progress and request.index and request.index % REQUESTS_BETWEEN_REPORTS == 0:
            progress(f"{policy}: {request.index:,} of {len(trace):,} requests")
        until: list[Callable[[int], int]] = [partial(store.cached_until, request) for store in stores]
        tally.add_request(request, cached_prefix(until))
        blocks = len(request.blocks)
        for number, store in enumerate(stores):
            admitted = recurrence.admitted(request) if recurrence and number == last else blocks
            tally.written[number] += store.store(request, admitted)
    return tally.result(policy, trace, time.process_time() - begun)


def _policies(trace: Trace, tiers: tuple[TierSpec, ...], name: str, gate: StoreGate) -> list[Policy]:
    base, _, ideas = name.partition(":")
    if base == "optimum":
        capacities = [sum(tier.capacity_blocks for tier in tiers[: number + 1]) for number in range(len(tiers))]
        return [Optimum(capacity, trace) for capacity in capacities]
    if base == "kvasir":
        chosen = frozenset(ideas.split("+")) if ideas else frozenset(IDEAS)
        margins = [0.0] * (len(tiers) - 1) + [gate.margin if gate.name == "worth" else 0.0]
        sized = zip(tiers, margins, strict=True)
        return [KvasirPolicy(tier.capacity_blocks, trace, chosen, margin) for tier, margin in sized]
    return [_BY_BLOCK[base](tier.capacity_blocks) for tier in tiers]


class _Tally:
    def __init__(self, block_tokens: int, tiers: tuple[TierSpec, ...], machine: Machine) -> None:
        self._block_tokens, self._tiers, self._machine = block_tokens, tiers, machine
        self._saved_per_token = [
            1 / machine.prefill_tokens_per_second - machine.block_bytes / block_tokens / tier.bytes_per_second
            for tier in tiers
        ]
        self._hit_blocks = [0] * len(tiers)
        self._hit_tokens = [0] * len(tiers)
        self.written = [0] * len(tiers)
        self._saved_seconds = 0.0

    def add_request(self, request: Request, stretches: list[Stretch]) -> None:
        saved = most_saved = 0.0
        for stretch in stretches:
            tokens = min(stretch.end * self._block_tokens, request.input_tokens) - stretch.start * self._block_tokens
            self._hit_blocks[stretch.tier] += stretch.end - stretch.start
            self._hit_tokens[stretch.tier] += tokens
            saved += tokens * self._saved_per_token[stretch.tier]
            if saved > most_saved:  # what is loaded may end with any stretch
                most_saved = saved
        self._saved_seconds += most_saved

    def result(self, policy: str, trace: Trace, cpu_seconds: float) -> PolicyResult:
        counted = policy != "optimum"
        tokens = int(trace.input_tokens.sum())
        return PolicyResult(
            policy,
            len(trace),
            len(trace.blocks),
            tokens,
            sum(self._hit_blocks),
            sum(self._hit_tokens),
            tokens / self._machine.prefill_tokens_per_second,
            self._saved_seconds,
            tuple(
                TierResult(
                    tier.name,
                    tier.capacity_blocks,
                    self._hit_blocks[number],
                    self._hit_tokens[number],
                    self.written[number] if counted else None,
                    self.written[number] * self._machine.block_bytes if counted else None,
                )
                for number, tier in enumerate(self._tiers)
            ),
            cpu_seconds,
        )
