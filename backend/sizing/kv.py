"""What a sequence's cache takes: the sum over layers, without an engine's rounding (for that see `kv_pool.py`).

Per layer and token, keys and values of grouped-query attention take 2 × KV heads × head size × bytes; multi-head and
multi-query attention are its ends. A latent (MLA) takes its own size once. A layer with a window holds no more than
that many tokens, and a layer with a state holds that state, whatever the length. docs/kv-memory.md derives them.
"""

from __future__ import annotations

from dataclasses import dataclass

from backend.sizing.dtypes import BYTES
from backend.sizing.layer_cache import LayerCache, StateCache, state_caches, token_caches
from backend.sizing.model_shape import ModelShape


@dataclass(frozen=True)
class CacheTypes:
    """The types that keys and values, a convolution's and a recurrence's state are kept in; names of `BYTES`."""

    kv: str
    convolution: str
    recurrence: str


@dataclass(frozen=True)
class KvCost:
    """Cache sizes of one model on each of the `shape.tp` GPUs that it is split over."""

    shape: ModelShape
    types: CacheTypes

    @property
    def bytes_per_token(self) -> int:
        """What a further token takes while no layer's window is full."""
        return sum(self.layer_bytes_per_token(layer) for layer in token_caches(self.shape.caches))

    @property
    def bytes_per_token_past_window(self) -> int:
        """What a further token takes once every window is full: only layers without one still grow."""
        return sum(
            self.layer_bytes_per_token(layer)
            for layer in token_caches(self.shape.caches)
            if getattr(layer, "window_tokens", None) is None
        )

    @property
    def state_bytes(self) -> int:
        """What a sequence of any length takes in layers without attention."""
        return sum(self.layer_state_bytes(layer) for layer in state_caches(self.shape.caches))

    def sequence_bytes(self, context_tokens: int) -> int:
        """What a sequence of `context_tokens` takes; a decoding step reads just this."""
        return self.state_bytes + sum(
            self.layer_bytes_per_token(layer) * layer.visible_tokens(context_tokens)
            for layer in token_caches(self.shape.caches)
        )

    def layer_bytes_per_token(self, layer: LayerCache) -> int:
        if isinstance(layer, StateCache):
            return 0
        return round(layer.elements_per_token(self.shape.tp) * BYTES[self.types.kv])

    def layer_state_bytes(self, layer: StateCache) -> int:
        return round(
            layer.elements("convolution") * BYTES[self.types.convolution]
            + layer.elements("recurrence") * BYTES[self.types.recurrence]
        )


def attention_kind(shape: ModelShape) -> str:
    """In the field's words, such as "GQA" or "GQA, sliding window"; "no attention" where there is none."""
    grown = token_caches(shape.caches)
    heads = {
        "MLA" if not hasattr(layer, "kv_heads") else _head_kind(layer.query_heads, layer.kv_heads) for layer in grown
    }
    words = sorted(heads)
    if any(getattr(layer, "chunked", False) for layer in grown):
        words.append("chunked")
    elif any(getattr(layer, "window_tokens", None) for layer in grown):
        words.append("sliding window")
    if state_caches(shape.caches):
        words.append("states of fixed size")
    return ", ".join(words) or "no attention"


def _head_kind(query_heads: int, kv_heads: int) -> str:
    if kv_heads == query_heads:
        return "MHA"
    return "MQA" if kv_heads == 1 else "GQA"
