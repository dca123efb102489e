"""What one layer of a model keeps of a sequence: keys and values, a latent, or a state of fixed size.

Counts are of elements, not bytes, for the whole model; `tp` is the number of GPUs that it is split over. A layer
without attention and without a state keeps nothing and has no object here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class AttentionCache:
    """Keys and values of `kv_heads` heads: MHA where it equals `query_heads`, MQA where it is 1, GQA between.

    `window_tokens` is the span that a token can look back to, itself included, or `None` for all. With `chunked` the
    sequence is cut into pieces of that length instead, and a token sees its own piece (Llama 4).
    """

    query_heads: int
    kv_heads: int
    head_dim: int
    window_tokens: int | None = None
    chunked: bool = False

    def elements_per_token(self, tp: int) -> int:
        """On one GPU. A head is never split: with more GPUs than heads, each head lies on several of them."""
        return 2 * max(1, self.kv_heads // tp) * self.head_dim

    def visible_tokens(self, context_tokens: int) -> int:
        return context_tokens if self.window_tokens is None else min(context_tokens, self.window_tokens)

    def flops_per_token(self, context_tokens: int) -> int:
        """Multiplications and additions of one new token's scores and their sum over the values."""
        return 4 * self.query_heads * self.head_dim * self.visible_tokens(context_tokens)


@dataclass(frozen=True)
class LatentCache:
    """Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434): one compressed vector a token for all heads,
    with the part that carries positions beside it. It cannot be split over GPUs."""

    query_heads: int
    latent_dim: int
    position_dim: int

    def elements_per_token(self, tp: int) -> int:  # noqa: ARG002
        return self.latent_dim + self.position_dim

    def visible_tokens(self, context_tokens: int) -> int:
        return context_tokens

    def flops_per_token(self, context_tokens: int) -> int:
        """With the up-projections folded into queries and outputs, as engines decode it."""
        return 2 * self.query_heads * (2 * self.latent_dim + self.position_dim) * context_tokens


StateRole = Literal["convolution", "recurrence"]


@dataclass(frozen=True)
class StateTensor:
    """`elements` on one GPU. The two roles may be kept in different types."""

    role: StateRole
    elements: int


@dataclass(frozen=True)
class StateCache:
    """A layer that remembers a sequence in a state of the same size whatever its length (Mamba, linear attention).

    `tensors` is the state on one of the GPUs that the model is split over, since how it splits differs from kind to
    kind. `checkpoints` counts further states that the engine's kernel of this kind keeps while it reads a prompt.
    """

    tensors: tuple[StateTensor, ...]
    checkpoints: int = 0

    def elements(self, role: StateRole) -> int:
        return sum(tensor.elements for tensor in self.tensors if tensor.role == role)


TokenCache = AttentionCache | LatentCache
LayerCache = AttentionCache | LatentCache | StateCache


def token_caches(layers: Sequence[LayerCache]) -> list[TokenCache]:
    """Those that grow with the sequence."""
    return [layer for layer in layers if not isinstance(layer, StateCache)]


def state_caches(layers: Sequence[LayerCache]) -> list[StateCache]:
    return [layer for layer in layers if isinstance(layer, StateCache)]
