"""How many weights a model has, what they take, and how many a decoding step reads.

Counted by building the model of transformers on the meta device, which makes its tensors without memory: exact for
every architecture that transformers knows, in a second or two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from backend.errors import ModelConfigInvalid
from backend.sizing.dtypes import EXPERTS_ONLY, WEIGHT_BYTES
from backend.sizing.model_shape import ModelShape


@dataclass(frozen=True)
class ParameterCount:
    """Numbers of weights. `matrices` are those that quantized formats shrink: all but embeddings and vectors.

    `routed` are the experts that a router chooses among, a part of `matrices`; a token uses `routed_share` of them.
    `lookup` is an input embedding that is not the output layer as well: of it, a token reads one row.
    """

    total: int
    matrices: int
    routed: int
    routed_share: float
    lookup: int

    @property
    def active(self) -> int:
        """What one token passes through, the embedding included, as models are named ("A3B")."""
        return self.total - round(self.routed * (1 - self.routed_share))


@dataclass(frozen=True)
class WeightMemory:
    """Bytes in one type. A decoding step reads `shared_bytes` once, and of `routed_bytes` the experts it needs."""

    dtype: str
    total_bytes: int
    shared_bytes: int
    routed_bytes: int


def count_parameters(shape: ModelShape) -> ParameterCount:
    """Raises `ModelConfigInvalid` where transformers cannot build a causal language model of the config."""
    from torch.nn import Embedding

    model = _meta_model(shape)
    embedding, output = model.get_input_embeddings(), model.get_output_embeddings()
    kept = {id(module.weight) for module in model.modules() if isinstance(module, Embedding) or module is output}
    total = matrices = routed = 0
    for name, parameter in model.named_parameters():
        total += parameter.numel()
        expert = ".experts." in name
        if expert:
            routed += parameter.numel()
        if (parameter.dim() >= 2 or expert) and id(parameter) not in kept:
            matrices += parameter.numel()
    tied = output is not None and embedding is not None and output.weight is embedding.weight
    return ParameterCount(
        total=total,
        matrices=matrices,
        routed=routed,
        routed_share=_routed_share(shape) if routed else 1.0,
        lookup=0 if tied or embedding is None else embedding.weight.numel(),
    )


def weight_memory(count: ParameterCount, dtype: str, compute_dtype: str) -> WeightMemory:
    """What the weights take in `dtype`, one of `WEIGHT_BYTES`.

    Formats below 16 bits shrink matrices alone; embeddings, output layer and vectors stay in `compute_dtype`. mxfp4
    shrinks experts alone.
    """
    each = WEIGHT_BYTES[dtype]
    full = WEIGHT_BYTES[compute_dtype] if each < 2 else each
    small = count.routed if dtype in EXPERTS_ONLY else count.matrices
    total = small * each + (count.total - small) * full
    routed = count.routed * each
    return WeightMemory(dtype, round(total), round(total - routed - count.lookup * full), round(routed))


def _meta_model(shape: ModelShape) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    for kind in (AutoModelForCausalLM, AutoModelForImageTextToText):
        if type(shape.config) in kind._model_mapping:
            with torch.device("meta"):
                return kind.from_config(shape.config)
    raise ModelConfigInvalid(
        shape.name,
        "model_type",
        f"is {shape.model_type!r}, of which transformers makes no causal language model; its weights cannot be counted",
    )


def _routed_share(shape: ModelShape) -> float:
    text = shape.config.get_text_config(decoder=True)
    experts = _first(text, "n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts")
    chosen = _first(text, "num_experts_per_tok", "num_experts_per_token", "top_k_experts", "moe_top_k", "moe_k")
    if not experts or not chosen:
        raise ModelConfigInvalid(
            shape.name, "num_experts_per_tok", "is missing, and the model has experts that a router chooses among"
        )
    return float(chosen) / float(experts)


def _first(config: Any, *names: str) -> int | None:
    for name in names:
        value = getattr(config, name, None)
        if isinstance(value, int) and value > 0:
            return value
    return None
