"""transformers' `DynamicCache`, with layers that write new tokens into room they have left.

`DynamicLayer` joins its tensors anew for every token. After 1,500 tokens of kvasir-mini that copy of all KV was 42 % of
a decode step in bfloat16 and 87 % in float32, by torch's profiler.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

ROOM_TOKENS = 256
"""How much more is taken when the room is used up: a copy of everything every so many tokens."""


class GrowingLayer(DynamicLayer):  # type: ignore[misc]  # transformers is not typed
    """One layer's KV, of shape (1, heads, tokens, head width): a copy of what it begins as, with room for `total`."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, total: int) -> None:
        super().__init__()
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self._take_room(keys, values, total)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append what has the shape (1, heads, new tokens, head width); gives the KV of all tokens."""
        begin = self.keys.shape[-2]
        end = begin + key_states.shape[-2]
        if end > self._key_room.shape[-2]:
            self._take_room(self.keys, self.values, end)
        self._key_room[..., begin:end, :] = key_states
        self._value_room[..., begin:end, :] = value_states
        self._show(end)
        return self.keys, self.values

    def shorten(self, tokens: int) -> None:
        """Leave the first `tokens` tokens."""
        self._show(tokens)

    @property
    def size_bytes(self) -> int:
        """Memory that is held, the room that is left included."""
        return int(self._key_room.nbytes + self._value_room.nbytes)

    def _take_room(self, keys: torch.Tensor, values: torch.Tensor, total: int) -> None:
        length = keys.shape[-2]
        room = total + ROOM_TOKENS
        self._key_room = keys.new_empty((*keys.shape[:-2], room, keys.shape[-1]))
        self._value_room = values.new_empty((*values.shape[:-2], room, values.shape[-1]))
        self._key_room[..., :length, :] = keys
        self._value_room[..., :length, :] = values
        self._show(length)

    def _show(self, tokens: int) -> None:
        self.keys = self._key_room[..., :tokens, :]
        self.values = self._value_room[..., :tokens, :]


def can_grow(cache: Any) -> bool:
    """Whether every layer of what a model computed holds one key and one value for each token, and nothing else.

    Sliding windows, recurrent states and quantised layers do not, so a prefix cannot be cut out of them.
    """
    return type(cache) is DynamicCache and all(
        type(layer) in (DynamicLayer, GrowingLayer) and layer.is_initialized for layer in cache.layers
    )


def grown(cache: Any, tokens: int, total: int) -> Any:
    """A copy of the first `tokens` tokens of `cache`, which `can_grow`, with room for `total` and some more."""
    copy = DynamicCache()
    copy.layers = [
        GrowingLayer(layer.keys[..., :tokens, :], layer.values[..., :tokens, :], total) for layer in cache.layers
    ]
    return copy


def shorten(cache: Any, tokens: int) -> None:
    """Cut a cache that was `grown` to its first `tokens` tokens, in place."""
    for layer in cache.layers:
        layer.shorten(tokens)


def size_bytes(cache: Any) -> int:
    """Memory that a cache that was `grown` holds."""
    return sum(layer.size_bytes for layer in cache.layers)
