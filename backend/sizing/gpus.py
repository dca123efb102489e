"""GPUs by name: their makers' data sheets, in `gpus.json`.

`memory_gib` is what the driver shows, a little less than the name says where error correction takes a part. Rates are
dense (without sparsity), with the accumulation in 32 bits that engines use.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from backend.errors import GpuNotKnown
from backend.sizing.config_source import near_names

GIB = 2**30


@dataclass(frozen=True)
class Gpu:
    """Rates are `None` where only an amount of memory was given. `flops_8bit` is `None` where there is no such unit."""

    name: str
    memory_bytes: int
    bandwidth_bytes_per_second: float | None = None
    flops_16bit: float | None = None
    flops_8bit: float | None = None

    def flops(self, weight_dtype: str) -> float | None:
        """FLOP per second that weights of this type are multiplied at."""
        return self.flops_8bit if weight_dtype == "fp8" and self.flops_8bit else self.flops_16bit

    def ridge_flop_per_byte(self, weight_dtype: str) -> float | None:
        """Where compute and memory take equally long: work with fewer FLOP for each byte waits for memory."""
        flops = self.flops(weight_dtype)
        return flops / self.bandwidth_bytes_per_second if flops and self.bandwidth_bytes_per_second else None


@cache
def gpus() -> tuple[Gpu, ...]:
    """The list that ships, by name."""
    table = json.loads((files("backend.sizing") / "gpus.json").read_text(encoding="utf-8"))
    return tuple(
        Gpu(
            name=name,
            memory_bytes=round(entry["memory_gib"] * GIB),
            bandwidth_bytes_per_second=entry["bandwidth_gb_s"] * 1e9,
            flops_16bit=entry["tflops_16bit"] * 1e12,
            flops_8bit=entry["tflops_fp8"] * 1e12 if "tflops_fp8" in entry else None,
        )
        for name, entry in sorted(table.items())
    )


def find_gpu(given: str) -> Gpu:
    """By name, without regard to case, spaces and dashes. Raises `GpuNotKnown`."""
    for gpu in gpus():
        if _plain(gpu.name) == _plain(given):
            return gpu
    raise GpuNotKnown(given, near_names(given, [gpu.name for gpu in gpus()]))


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace(" ", "").replace("_", "").removeprefix("nvidia")
