"""Weights that a GPU has no room for: the batch plan leaves them in the host's memory (vLLM's `--cpu-offload-gb`).

Every step then reads them over the bus, so that it pays only where many sequences share a step, as FlexGen showed
(Sheng et al., 2023). The other use cases wait for tokens, and are told by `kvasir backend size` that it does not fit.
"""

from __future__ import annotations

import math
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from backend.cache_command import tensor_parallel
from backend.errors import LaunchOptionInvalid

if TYPE_CHECKING:
    from backend.plan import Device, LaunchOptions

_FLAG = "--cpu-offload-gb"
_WINDOWS = (8, 1)
"""Sequences of a full window that should fit beside the weights: many where that can be, at least one."""


def with_weight_offload(options: LaunchOptions, model: Path, device: Device, window_tokens: int) -> LaunchOptions:
    """`options` with the flag for vLLM, for the batch plan on a GPU that is too small; else as they are.

    Raises `LaunchOptionInvalid` where even all weights elsewhere would not make room, and what sizing raises.
    """
    given = any(argument.split("=")[0] == _FLAG for argument in options.engine_args)
    if options.use_case != "batch" or device == "cpu" or given:
        return options
    gib = offload_gib(options, model, window_tokens)
    return replace(options, engine_args=(f"{_FLAG}={gib}", *options.engine_args)) if gib else options


def offload_gib(options: LaunchOptions, model: Path, window_tokens: int) -> int:
    """Whole GiB of weights on each GPU that must lie elsewhere; 0 where they fit, or where the GPU is not known."""
    # Reads the config with transformers, which takes seconds to import.
    from backend.sizing.report import SizeOptions, size_model

    memory_gib = None if options.gpu else local_gpu_gib()
    if options.gpu is None and memory_gib is None:
        return 0
    tp = tensor_parallel(options.engine_args)
    report = size_model(
        SizeOptions(
            model=model,
            gpu_names=(options.gpu,) if options.gpu else (),
            memory_gib=memory_gib,
            tp=tp,
            window_tokens=window_tokens,
            memory_share=options.gpu_memory_share,
            context_tokens=(window_tokens,),
        )
    )
    left, window = report.gpus[0].fit.kv_memory_bytes, report.each.sequence_bytes(window_tokens)
    if left >= window:
        return 0
    most = report.weights.total_bytes // tp
    for sequences in _WINDOWS:
        gib = math.ceil((sequences * window - left) / 2**30)
        if gib * 2**30 <= most:
            return gib
    raise LaunchOptionInvalid(
        "--gpu" if options.gpu else "--use-case batch",
        f"a window of {window_tokens} tokens takes {window / 2**30:.1f} GiB of KV, which does not fit even with all "
        "weights in the host's memory; lower --window-tokens, or split the model over more GPUs with "
        "--engine-arg=--tensor-parallel-size=N",
    )


def local_gpu_gib() -> float | None:
    """Memory of this machine's smallest GPU, as the driver says it; `None` without one."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    try:
        answer = subprocess.run(
            [tool, "--query-gpu=memory.total", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        return min(float(line) for line in answer.stdout.split()) / 1024
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
