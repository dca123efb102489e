"""What fits a GPU: the memory left for KV, sequences by context length, the longest one, how many GPUs it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backend.sizing.gpus import GIB, Gpu
from backend.sizing.kv import KvCost
from backend.sizing.kv_pool import KvPool, Paging, kv_pool
from backend.sizing.layer_cache import LatentCache
from backend.sizing.roofline import DecodeBound, decode_bound
from backend.sizing.weights import ParameterCount, WeightMemory

MLA_BLOCK_TOKENS = 64
GPU_BLOCK_TOKENS = 16
CPU_BLOCK_TOKENS = 128
CPU_MLA_BLOCK_TOKENS = 16


@dataclass(frozen=True)
class ContextFit:
    """`sequences` of `context_tokens` fit at once. `one` is the bound on decoding for one of them, `all` for all."""

    context_tokens: int
    sequences: int
    one: DecodeBound | None
    all: DecodeBound | None


@dataclass(frozen=True)
class GpuFit:
    """`kv_memory_bytes` is on each GPU, negative where the weights alone do not fit. `kv_tokens` is what vLLM would
    report. `longest_tokens` is the longest single sequence, within the model's window."""

    gpu: Gpu
    ridge_flop_per_byte: float | None
    kv_memory_bytes: int
    kv_tokens: int
    fits: bool
    longest_tokens: int
    contexts: tuple[ContextFit, ...]


@dataclass(frozen=True)
class Budget:
    """What of a GPU's memory an engine uses: `share` of it, less `reserve_bytes` for what is neither weights nor KV."""

    share: float
    reserve_bytes: int

    def kv_bytes(self, gpu: Gpu, weights: WeightMemory, tp: int) -> int:
        return int(gpu.memory_bytes * self.share) - -(-weights.total_bytes // tp) - self.reserve_bytes


def default_paging(cost: KvCost, gpu: Gpu | None, *, cpu: bool) -> Paging:
    """vLLM 0.32's defaults, for its API server.

    Tokens scheduled at once grow with the GPU; on a GPU the next batch is scheduled while one runs.
    """
    latent = any(isinstance(cache, LatentCache) for cache in cost.shape.caches)
    if cpu:
        return Paging(CPU_MLA_BLOCK_TOKENS if latent else CPU_BLOCK_TOKENS, 16 if latent else 32, 2048 * cost.shape.tp)
    block = MLA_BLOCK_TOKENS if latent else GPU_BLOCK_TOKENS
    return Paging(block, block, 2 * _batched_tokens(gpu))


def fit(
    gpu: Gpu,
    cost: KvCost,
    pool: KvPool,
    count: ParameterCount,
    weights: WeightMemory,
    *,
    kv_bytes: int,
    window_tokens: int,
    context_tokens: tuple[int, ...],
) -> GpuFit:
    """How the model does on as many GPUs of this kind as `cost` has, each with `kv_bytes` left for KV."""
    room = max(0, kv_bytes)
    contexts = []
    for tokens in context_tokens:
        sequences = pool.sequences(room, tokens)
        one, every = (
            decode_bound(gpu, cost, count, weights, context_tokens=tokens, sequences=number)
            if number <= sequences
            else None
            for number in (1, max(1, sequences))
        )
        contexts.append(ContextFit(tokens, sequences, one, every))
    longest = pool.longest_sequence(room, window_tokens)
    return GpuFit(
        gpu=gpu,
        ridge_flop_per_byte=gpu.ridge_flop_per_byte(weights.dtype),
        kv_memory_bytes=kv_bytes,
        kv_tokens=pool.reported_tokens(room, window_tokens),
        fits=longest >= min((window_tokens, *context_tokens)),
        longest_tokens=longest,
        contexts=tuple(contexts),
    )


def gpus_needed(
    gpu: Gpu,
    cost_on: Callable[[int], KvCost],
    weights: WeightMemory,
    paging: Paging,
    budget: Budget,
    *,
    tokens: int,
    most: int = 64,
) -> int | None:
    """The fewest GPUs whose memory holds the weights and one sequence of `tokens`: a power of two that divides the
    query heads, up to `most`. `cost_on` gives the cache sizes for a number of GPUs."""
    number = 1
    while number <= most and (cost_on(1).shape.query_heads or most) % number == 0:
        room = budget.kv_bytes(gpu, weights, number)
        if room > 0 and kv_pool(cost_on(number), paging).sequences(room, tokens):
            return number
        number *= 2
    return None


def _batched_tokens(gpu: Gpu | None) -> int:
    gib = gpu.memory_bytes / GIB if gpu else 0
    if gib >= 160:
        return 16384
    return 8192 if gib >= 70 and gpu is not None and not gpu.name.startswith("A100") else 2048
