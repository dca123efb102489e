"""The keys in vLLM's blocks on a CPU, where each instruction set has an order of its own for them.

A block holds, for each head, the keys of all its tokens and then the values. The keys are laid out for the kernel that
reads them, so LMCache can copy a block and cannot turn its keys. Where a token's key stands is asked of vLLM itself:
it writes a block of marks.

Read against vLLM 0.32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from kvasir_rotation import rotated
from vllm import _custom_ops as ops
from vllm.v1.attention.backends.cpu_attn import _get_attn_isa


class CpuKeys:
    """Of all layers; `caches` are vLLM's, each of shape (blocks, heads, tokens in a block, key and value width)."""

    def __init__(self, caches: Mapping[str, torch.Tensor], rope: Any) -> None:
        self._caches, self._rope = tuple(caches.values()), rope
        first = self._caches[0]
        if any(cache.dim() != 4 or cache.shape[1:] != first.shape[1:] for cache in self._caches):
            raise ValueError("the blend engine needs layers of one shape; this model's differ")
        self._heads, self._tokens, self._width = first.shape[1], first.shape[2], first.shape[3] // 2
        self._places = self._asked_places(first.dtype)

    @torch.inference_mode()
    def turn(self, blocks: Sequence[int], distances: Sequence[int]) -> None:
        """Move the keys of each block by its distance in positions."""
        ids, apart = torch.tensor(blocks), torch.tensor(distances)
        for cache in self._caches:
            pages = cache.view(cache.shape[0], self._heads, 2 * self._tokens * self._width)
            laid = pages[ids, :, : self._tokens * self._width]
            keys = laid[..., self._places].view(len(ids), self._heads, self._tokens, self._width)
            laid[..., self._places] = rotated(
                keys, apart, self._rope.cos_sin_cache, neox=self._rope.is_neox_style
            ).flatten(-2)
            pages[ids, :, : self._tokens * self._width] = laid

    def _asked_places(self, dtype: torch.dtype) -> torch.Tensor:
        """Of shape (tokens × width): where in a head's keys the elements of the tokens stand, one after the other."""
        bits = {2: torch.int16, 4: torch.int32}.get(dtype.itemsize)
        if bits is None:
            raise ValueError(f"the blend engine needs KV of 16 or 32 bits on a CPU; this is {dtype}")
        numbers = torch.arange(self._tokens * self._width)
        keys = numbers.to(bits).view(dtype).view(self._tokens, 1, self._width)
        block = torch.zeros(1, 1, 2 * self._tokens, self._width, dtype=dtype)
        key_block, value_block = block.chunk(2, dim=2)
        isa = _get_attn_isa(dtype, self._tokens, self._width)
        slots = torch.arange(self._tokens)
        ops.cpu_attn_reshape_and_cache(keys, torch.zeros_like(keys), key_block, value_block, slots, isa)
        found = key_block.contiguous().view(bits).flatten().long() & (2 ** (8 * dtype.itemsize) - 1)
        if not torch.equal(found.sort().values, numbers):
            raise ValueError(f"vLLM's order of keys for {isa} could not be read")
        order: torch.Tensor = found.argsort()
        return order
