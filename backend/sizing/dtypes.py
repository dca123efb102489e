"""Number types of weights and caches, and what a number takes in each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backend.errors import ModelConfigInvalid

BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0, "fp8": 1.0}
"""Plain types: what computation and the KV cache use."""

GROUP = 128
"""Weights that share one scale in the usual 4-bit formats (AWQ, GPTQ)."""

WEIGHT_BYTES = {**BYTES, "int8": 1.0, "int4": (4 + (16 + 4) / GROUP) / 8, "mxfp4": (4 + 8 / 32) / 8}
"""Bytes a weight, scales included: int4 with a 16-bit scale and a 4-bit zero for each 128, mxfp4 with 8 bits for 32."""

EXPERTS_ONLY = frozenset({"mxfp4"})
"""Formats that are used for the experts of a mixture alone (gpt-oss)."""


def compute_dtype(config: Mapping[str, Any]) -> str:
    """The 16-bit type that an engine computes in with dtype `auto`: the config's own, bfloat16 for float32 or none."""
    named = _text(config).get("dtype") or _text(config).get("torch_dtype")
    named = named or config.get("dtype") or config.get("torch_dtype")
    return "float16" if str(named).removeprefix("torch.") == "float16" else "bfloat16"


def stored_dtype(config: Mapping[str, Any], source: str) -> str:
    """The type that the config says its weights are stored in.

    Raises `ModelConfigInvalid` for a `quantization_config` of an unknown kind.
    """
    quantization = config.get("quantization_config") or _text(config).get("quantization_config")
    if not quantization:
        return compute_dtype(config)
    method = str(quantization.get("quant_method"))
    bits = quantization.get("bits")
    if method in ("fp8", "mxfp4"):
        return method
    if method in ("awq", "gptq") and bits in (4, 8):
        return f"int{bits}"
    raise ModelConfigInvalid(
        source,
        "quantization_config",
        f"is quant_method {method!r} with bits {bits!r}; known are fp8, mxfp4, and awq or gptq with 4 or 8 bits. "
        "Say what a weight takes with --dtype",
    )


def _text(config: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = config.get("text_config")
    return inner if isinstance(inner, Mapping) else config
