"""Everything that `kvasir backend size` says of one model, as one object."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from backend.errors import SizeOptionInvalid
from backend.sizing.config_source import find_config
from backend.sizing.dtypes import BYTES, WEIGHT_BYTES
from backend.sizing.fit import Budget, GpuFit, default_paging, fit, gpus_needed
from backend.sizing.gpus import GIB, Gpu, find_gpu, gpus
from backend.sizing.kv import CacheTypes, KvCost, attention_kind
from backend.sizing.kv_pool import Paging, kv_pool
from backend.sizing.model_shape import ModelShape, read_shape
from backend.sizing.weights import ParameterCount, WeightMemory, count_parameters, weight_memory

CONTEXTS = (2048, 4096, 8192, 16384, 32768, 65536, 131072)
_ENDLESS_WINDOW_TOKENS = 131072


@dataclass(frozen=True)
class SizeOptions:
    """What a user chooses. `None` lets the model or the engine's defaults decide; sizes are in GiB.

    `gpu_names` empty and no `memory_gib` means every GPU of the list. `kv_gib` is the memory for KV itself, as vLLM
    prints it, in place of what is left after the weights.
    """

    model: str | Path
    gpu_names: tuple[str, ...] = ()
    memory_gib: float | None = None
    kv_gib: float | None = None
    dtype: str | None = None
    kv_dtype: str | None = None
    tp: int = 1
    cpu: bool = False
    window_tokens: int | None = None
    block_tokens: int | None = None
    batched_tokens: int | None = None
    memory_share: float = 0.9
    reserve_gib: float = 2.5
    context_tokens: tuple[int, ...] = CONTEXTS


@dataclass(frozen=True)
class ContextSize:
    """`kv_bytes` is what one sequence keeps, all GPUs together without what they repeat."""

    context_tokens: int
    kv_bytes: int
    within_window: bool


@dataclass(frozen=True)
class GpuSize:
    """`gpus_needed` is the fewest of them that hold the weights and one sequence of the longest context asked for that
    the model's window allows; `None` where 64 do not, or where the memory for KV was given."""

    fit: GpuFit
    block_tokens: int
    gpus_needed: int | None


@dataclass(frozen=True)
class SizeReport:
    """Sizes of the whole model, and `each`, what one of the GPUs holds of its cache."""

    options: SizeOptions
    whole: KvCost
    each: KvCost
    count: ParameterCount
    weights: WeightMemory
    window_tokens: int
    contexts: tuple[ContextSize, ...]
    gpus: tuple[GpuSize, ...]

    @property
    def shape(self) -> ModelShape:
        return self.whole.shape

    def to_dict(self) -> dict[str, Any]:
        """What `--json` prints: figures of the model, `contexts`, `gpus`, and `rows`, one for each GPU and context."""
        return {
            "model": self.shape.name,
            "model_type": self.shape.model_type,
            "attention": attention_kind(self.shape),
            "layers": len(self.shape.layers),
            "layers_with_kv": sum(1 for layer in self.shape.layers if layer),
            "window_tokens": self.window_tokens,
            "tp": self.each.shape.tp,
            "parameters": self.count.total,
            "active_parameters": self.count.active,
            "dtype": self.weights.dtype,
            "weight_bytes": self.weights.total_bytes,
            "kv_dtype": self.whole.types.kv,
            "kv_bytes_per_token": self.whole.bytes_per_token,
            "kv_bytes_per_token_past_window": self.whole.bytes_per_token_past_window,
            "kv_bytes_per_token_per_gpu": self.each.bytes_per_token,
            "state_bytes_per_sequence": self.whole.state_bytes,
            "contexts": [asdict(context) for context in self.contexts],
            "gpus": [_gpu_facts(size) for size in self.gpus],
            "rows": [row for size in self.gpus for row in _rows(size, self.contexts)],
        }


def size_model(options: SizeOptions) -> SizeReport:
    """Size a model. Reads its config and nothing else.

    Raises `ModelNotKnown`, `ModelConfigInvalid`, `GpuNotKnown`, `SizeOptionInvalid`.
    """
    _check(options)
    chosen = _gpus(options)
    model = find_config(options.model)
    first = read_shape(model)
    types = _cache_types(options, first)

    @cache
    def cost_on(tp: int) -> KvCost:
        return KvCost(read_shape(model, tp), types)

    each = cost_on(options.tp)
    count = count_parameters(first)
    weights = weight_memory(count, options.dtype or first.stored_dtype, first.compute_dtype)
    window = options.window_tokens or first.window_tokens or _ENDLESS_WINDOW_TOKENS
    contexts = tuple(
        ContextSize(tokens, KvCost(first, types).sequence_bytes(tokens), tokens <= window)
        for tokens in options.context_tokens
    )
    budget = Budget(options.memory_share, round(options.reserve_gib * GIB))
    needed_for = max((context.context_tokens for context in contexts if context.within_window), default=window)
    sizes = []
    for gpu in chosen:
        paging = _paging(options, each, gpu)
        kv_bytes = budget.kv_bytes(gpu, weights, options.tp) if options.kv_gib is None else round(options.kv_gib * GIB)
        pool = kv_pool(each, paging)
        sizes.append(
            GpuSize(
                fit=fit(
                    gpu,
                    each,
                    pool,
                    count,
                    weights,
                    kv_bytes=kv_bytes,
                    window_tokens=window,
                    context_tokens=options.context_tokens,
                ),
                block_tokens=pool.block_tokens,
                gpus_needed=gpus_needed(gpu, cost_on, weights, paging, budget, tokens=needed_for)
                if options.kv_gib is None
                else None,
            )
        )
    return SizeReport(options, KvCost(first, types), each, count, weights, window, contexts, tuple(sizes))


def _check(options: SizeOptions) -> None:
    positive: dict[str, float | None] = {
        "--memory": options.memory_gib,
        "--kv-gib": options.kv_gib,
        "--tp": options.tp,
        "--window-tokens": options.window_tokens,
        "--block-tokens": options.block_tokens,
        "--batched-tokens": options.batched_tokens,
        "--context": min(options.context_tokens, default=None),
    }
    for option, value in positive.items():
        if value is not None and not 0 < value < math.inf:
            raise SizeOptionInvalid(option, f"got {value:g}; it must be a number above 0")
    if not options.context_tokens:
        raise SizeOptionInvalid("--context", "is empty; give at least one length in tokens")
    if not 0 < options.memory_share <= 1:
        raise SizeOptionInvalid("--gpu-memory-share", f"got {options.memory_share:g}; it is a share, up to 1")
    if not 0 <= options.reserve_gib < math.inf:
        raise SizeOptionInvalid("--reserve-gib", f"got {options.reserve_gib:g}; it must be a number from 0 on")
    for option, dtype, known in (
        ("--dtype", options.dtype, WEIGHT_BYTES),
        ("--kv-dtype", options.kv_dtype, BYTES),
    ):
        if dtype is not None and dtype not in known:
            raise SizeOptionInvalid(option, f"got '{dtype}'; known are {', '.join(known)}")
    given = [bool(options.gpu_names), options.memory_gib is not None]
    if all(given):
        raise SizeOptionInvalid("--gpu and --memory", "say the same; give one of them")


def _gpus(options: SizeOptions) -> Sequence[Gpu]:
    if options.gpu_names:
        return [find_gpu(name) for name in options.gpu_names]
    if options.memory_gib is not None:
        return [Gpu(f"{options.memory_gib:g} GiB", round(options.memory_gib * GIB))]
    if options.kv_gib is not None:
        return [Gpu(f"{options.kv_gib:g} GiB for KV", round(options.kv_gib * GIB))]
    return gpus()


def _cache_types(options: SizeOptions, shape: ModelShape) -> CacheTypes:
    # float32 weights are computed in float32 where it is asked for; every other choice computes in 16 bits.
    compute = options.dtype if options.dtype in ("float32", "float16", "bfloat16") else shape.compute_dtype
    assert compute is not None
    recurrence = compute if shape.state_dtype == shape.compute_dtype else shape.state_dtype
    return CacheTypes(kv=options.kv_dtype or compute, convolution=compute, recurrence=recurrence)


def _paging(options: SizeOptions, cost: KvCost, gpu: Gpu) -> Paging:
    paging = default_paging(cost, gpu, cpu=options.cpu)
    if options.block_tokens is not None:
        paging = replace(paging, block_tokens=options.block_tokens)
    if options.batched_tokens is not None:
        paging = replace(paging, in_flight_tokens=options.batched_tokens * (1 if options.cpu else 2))
    return paging


def _gpu_facts(size: GpuSize) -> dict[str, Any]:
    found = size.fit
    return {
        "gpu": found.gpu.name,
        "memory_bytes": found.gpu.memory_bytes,
        "bandwidth_bytes_per_second": found.gpu.bandwidth_bytes_per_second,
        "ridge_flop_per_byte": found.ridge_flop_per_byte,
        "kv_memory_bytes": found.kv_memory_bytes,
        "kv_tokens": found.kv_tokens,
        "block_tokens": size.block_tokens,
        "fits": found.fits,
        "longest_tokens": found.longest_tokens,
        "gpus_needed": size.gpus_needed,
    }


def _rows(size: GpuSize, contexts: Sequence[ContextSize]) -> list[dict[str, Any]]:
    return [
        {
            "gpu": size.fit.gpu.name,
            **asdict(context),
            "sequences": found.sequences,
            "decode_tokens_per_second_one": found.one.tokens_per_second if found.one else None,
            "decode_tokens_per_second_all": found.all.tokens_per_second if found.all else None,
            "decode_limit_all": found.all.limit if found.all else None,
        }
        for context, found in zip(contexts, size.fit.contexts, strict=True)
    ]
