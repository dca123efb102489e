from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from backend.sizing.config_source import ModelConfig, find_config
from backend.sizing.kv import CacheTypes, KvCost
from backend.sizing.model_shape import ModelShape, read_shape

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 100,
    "max_position_embeddings": 4096,
}


@pytest.fixture
def shape_of() -> Callable[..., ModelShape]:
    """The shape of a small Llama with some fields changed; a field that is `None` is left out."""

    def read(tp: int = 1, **fields: Any) -> ModelShape:
        config = {name: value for name, value in {**LLAMA, **fields}.items() if value is not None}
        return read_shape(ModelConfig("given", config), tp)

    return read


@pytest.fixture
def cost_of() -> Callable[..., KvCost]:
    """What a known model's cache takes, in bfloat16 throughout."""

    def cost(name: str, tp: int = 1, kv: str = "bfloat16") -> KvCost:
        return KvCost(read_shape(find_config(name), tp), CacheTypes(kv, "bfloat16", "bfloat16"))

    return cost


@pytest.fixture
def larger_heads_at_the_end(shape_of: Callable[..., ModelShape]) -> ModelShape:
    """Five layers with a window and heads of 64, and a full one with heads of 128."""
    return shape_of(
        model_type="gemma4_text",
        num_hidden_layers=6,
        head_dim=64,
        global_head_dim=128,
        num_kv_shared_layers=0,
        layer_types=["sliding_attention"] * 5 + ["full_attention"],
        sliding_window=512,
    )
