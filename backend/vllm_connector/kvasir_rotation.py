"""Rotary positions: a key that was computed at one position becomes that of another."""

from __future__ import annotations

import torch


def rotated(keys: torch.Tensor, distances: torch.Tensor, cos_sin: torch.Tensor, *, neox: bool) -> torch.Tensor:
    """`keys`, of shape (chunks, heads, tokens, width), each chunk moved by its distance in positions.

    `cos_sin` is vLLM's cache of shape (positions, rotated width): cosines, then sines. What of the width is not
    rotated stays as it is.
    """
    cos, sin = cos_sin[distances.abs()].float()[:, None, None].chunk(2, dim=-1)
    # Some caches hold more than a rotation: a factor for attention, and their rounding.
    length = (cos**2 + sin**2).sqrt()
    cos, sin = cos / length, sin / length
    sin = sin * distances.sign()[:, None, None, None]
    half = cos.shape[-1]
    turned = keys.to(torch.float32, copy=True)
    if neox:
        x, y = turned[..., :half].clone(), turned[..., half : 2 * half].clone()
        turned[..., :half], turned[..., half : 2 * half] = x * cos - y * sin, y * cos + x * sin
    else:
        x, y = turned[..., : 2 * half : 2].clone(), turned[..., 1 : 2 * half : 2].clone()
        turned[..., : 2 * half : 2], turned[..., 1 : 2 * half : 2] = x * cos - y * sin, y * cos + x * sin
    return turned.to(keys.dtype)
