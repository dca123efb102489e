"""The state of layers without attention, by model type: its shape is the architecture's own affair.

Shapes are those that vLLM 0.32 allocates (`MambaStateShapeCalculator`): a convolution keeps its last inputs, a
recurrence one matrix for each head or channel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backend.errors import ModelConfigInvalid
from backend.sizing.layer_cache import StateCache, StateTensor


def recurrent_state(config: Any, model_type: str, tp: int, source: str) -> StateCache:
    """The state of one such layer of a `transformers` text config, on one of `tp` GPUs.

    Raises `ModelConfigInvalid` where the model type's state is not known.
    """
    shape = _SHAPES.get(model_type)
    if shape is None:
        raise ModelConfigInvalid(
            source,
            "model_type",
            f"is {model_type!r}, whose layers without attention keep a state of unknown shape; "
            f"known are {', '.join(sorted(_SHAPES))}",
        )
    return StateCache(shape(config, tp), checkpoints=1 if model_type in _CHECKPOINTED else 0)


_CHECKPOINTED = frozenset({"bamba", "falcon_h1", "granitemoehybrid", "mamba2", "nemotron_h"})
"""Mamba 2: vLLM's kernel leaves the state at a block's end behind while it goes on reading."""


def state_dtype(config: Any, model_type: str, compute_dtype: str) -> str:
    """What a recurrence is kept in: the model's type, except where an architecture asks for more."""
    if model_type == "nemotron_h":
        return str(getattr(config, "mamba_ssm_cache_dtype", None) or "float32")
    if model_type.startswith("qwen3_5"):
        return str(getattr(config, "mamba_ssm_dtype", None) or compute_dtype)
    return compute_dtype


def _mamba(inner: int, state: int, kernel: int, tp: int) -> tuple[StateTensor, ...]:
    return (
        StateTensor("convolution", inner // tp * (kernel - 1)),
        StateTensor("recurrence", inner // tp * state),
    )


def _mamba2(
    inner: int, groups: int, heads: int, head_dim: int, state: int, kernel: int, tp: int
) -> tuple[StateTensor, ...]:
    # Groups go with the heads that use them, so that they are repeated where they do not divide.
    spread = groups if groups % tp == 0 else tp
    return (
        StateTensor("convolution", (inner + 2 * spread * state) // tp * (kernel - 1)),
        StateTensor("recurrence", heads // tp * head_dim * state),
    )


def _mamba_model(c: Any, tp: int) -> tuple[StateTensor, ...]:
    return _mamba(c.intermediate_size, c.state_size, c.conv_kernel, tp)


def _jamba(c: Any, tp: int) -> tuple[StateTensor, ...]:
    return _mamba(c.mamba_expand * c.hidden_size, c.mamba_d_state, c.mamba_d_conv, tp)


def _mamba2_model(c: Any, tp: int) -> tuple[StateTensor, ...]:
    return _mamba2(
        c.expand * c.hidden_size, c.n_groups, c.num_heads, c.head_dim, c.state_size, c.conv_kernel, tp
    )  # fmt: skip


def _granite(c: Any, tp: int) -> tuple[StateTensor, ...]:
    inner = c.mamba_expand * c.hidden_size
    return _mamba2(inner, c.mamba_n_groups, c.mamba_n_heads, c.mamba_d_head, c.mamba_d_state, c.mamba_d_conv, tp)


def _falcon_h1(c: Any, tp: int) -> tuple[StateTensor, ...]:
    inner = int(c.mamba_expand * c.hidden_size) if c.mamba_d_ssm is None else c.mamba_d_ssm
    return _mamba2(inner, c.mamba_n_groups, c.mamba_n_heads, c.mamba_d_head, c.mamba_d_state, c.mamba_d_conv, tp)


def _nemotron_h(c: Any, tp: int) -> tuple[StateTensor, ...]:
    inner = c.mamba_num_heads * c.mamba_head_dim
    return _mamba2(inner, c.n_groups, c.mamba_num_heads, c.mamba_head_dim, c.ssm_state_size, c.conv_kernel, tp)


def _gated_delta_net(c: Any, tp: int) -> tuple[StateTensor, ...]:
    keys = c.linear_num_key_heads * c.linear_key_head_dim
    values = c.linear_num_value_heads * c.linear_value_head_dim
    return (
        StateTensor("convolution", (2 * keys + values) // tp * (c.linear_conv_kernel_dim - 1)),
        StateTensor("recurrence", c.linear_num_value_heads // tp * c.linear_value_head_dim * c.linear_key_head_dim),
    )


def _short_convolution(c: Any, tp: int) -> tuple[StateTensor, ...]:
    return (StateTensor("convolution", getattr(c, "conv_dim", c.hidden_size) // tp * (c.conv_L_cache - 1)),)


_SHAPES: dict[str, Callable[[Any, int], tuple[StateTensor, ...]]] = {
    "bamba": _granite,
    "falcon_h1": _falcon_h1,
    "falcon_mamba": _mamba_model,
    "granitemoehybrid": _granite,
    "jamba": _jamba,
    "lfm2": _short_convolution,
    "lfm2_moe": _short_convolution,
    "mamba": _mamba_model,
    "mamba2": _mamba2_model,
    "nemotron_h": _nemotron_h,
    "qwen3_5_moe_text": _gated_delta_net,
    "qwen3_5_text": _gated_delta_net,
    "qwen3_next": _gated_delta_net,
}
