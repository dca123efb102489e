"""Rotary positions: a key that was computed at one position becomes that of another."""

from __future__ import annotations

import torch


def rotate(keys: torch.Tensor, distance: int, cos_sin: torch.Tensor, head_width: int, neox: bool) -> None:
    """Move `keys`, of shape (layers, tokens, heads × head_width), by `distance` positions, in place.

    `cos_sin` is vLLM's cache of shape (positions, rotated width): cosines, then sines. What a head holds behind the
    rotated width stays as it is, which may be its value.
    """
    cos, sin = cos_sin[abs(distance)].float().chunk(2)
    sin = sin if distance > 0 else -sin
    heads = keys.view(*keys.shape[:-1], -1, head_width)[..., : 2 * cos.numel()]
    first, second = heads.chunk(2, dim=-1) if neox else (heads[..., ::2], heads[..., 1::2])
    x, y = first.float(), second.float()
    turned = x * cos - y * sin, y * cos + x * sin
    first.copy_(turned[0])
    second.copy_(turned[1])
