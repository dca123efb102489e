"""The most tokens a second that decoding can reach (roofline model: Williams, Waterman, Patterson, 2009).

A decoding step reads the weights once, for all sequences of the batch, and of each sequence all that is kept; it
multiplies each weight that a token uses with one number of each sequence. It cannot be faster than the slower of the
two. What an engine reaches is less: this leaves out everything but reading and multiplying, communication included.
"""

from __future__ import annotations

from dataclasses import dataclass

from backend.sizing.gpus import Gpu
from backend.sizing.kv import KvCost
from backend.sizing.layer_cache import token_caches
from backend.sizing.weights import ParameterCount, WeightMemory


@dataclass(frozen=True)
class DecodeBound:
    """`tokens_per_second` is of all sequences together. `limit` names the slower side: "memory" or "compute"."""

    sequences: int
    tokens_per_second: float
    limit: str


def decode_bound(
    gpu: Gpu, cost: KvCost, count: ParameterCount, weights: WeightMemory, *, context_tokens: int, sequences: int
) -> DecodeBound | None:
    """For `sequences` of `context_tokens` each, on as many GPUs of this kind as `cost` has.

    `None` where its rates are unknown.
    """
    flops, bandwidth = gpu.flops(weights.dtype), gpu.bandwidth_bytes_per_second
    if not flops or not bandwidth or sequences < 1:
        return None
    tp = cost.shape.tp
    read_bytes = (weights.shared_bytes + routed_bytes_read(count, weights, sequences)) / tp
    read_bytes += sequences * cost.sequence_bytes(context_tokens)
    read_seconds = read_bytes / bandwidth
    compute_seconds = sequences * flops_per_token(cost, count, context_tokens) / tp / flops
    return DecodeBound(
        sequences=sequences,
        tokens_per_second=sequences / max(read_seconds, compute_seconds),
        limit="memory" if read_seconds >= compute_seconds else "compute",
    )


def routed_bytes_read(count: ParameterCount, weights: WeightMemory, sequences: int) -> float:
    """Experts that at least one sequence needs, if each picks its share at random."""
    return weights.routed_bytes * (1 - (1 - count.routed_share) ** sequences)


def flops_per_token(cost: KvCost, count: ParameterCount, context_tokens: int) -> int:
    """Two for each weight that the token is multiplied with, and its attention over the context."""
    attention = sum(layer.flops_per_token(context_tokens) for layer in token_caches(cost.shape.caches))
    return 2 * (count.active - count.lookup) + attention
