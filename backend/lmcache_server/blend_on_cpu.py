"""The last step of LMCache's blend engine on a CPU: write chunks that lie elsewhere in a prompt than they did before.

LMCache 0.5.6 has it as a CUDA kernel alone (`execute_cb_retrieve_plan_flat`), and fails each such load without it. This
does the same with LMCache's own copies. It turns no keys: vLLM's blocks hold them in an order that only vLLM knows
(`vllm_connector/kvasir_cpu_keys.py`).

Chunks must begin and end with a block of vLLM's, as those do that `vllm_connector/kvasir_blend_connector.py` asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lmcache.lmcache_native as lmcache_native
import torch
from lmcache import device_ops
from lmcache.v1.multiprocess.modules.blend.module import BlendModule
from lmcache.v1.multiprocess.object_group_transfer import lmcache_memcpy_async_h2d

_KERNEL = "execute_cb_retrieve_plan_flat"


@dataclass(frozen=True)
class _Load:
    """One request's chunks, each a match of LMCache's with its memory objects, into the blocks of `block_tables`."""

    context: Any
    block_tables: Sequence[tuple[Any, int]]
    chunks: Sequence[tuple[Any, Sequence[Any]]]


def install() -> bool:
    """Put the step in where LMCache has none; before LMCache makes its modules. Whether it did."""
    if hasattr(device_ops, _KERNEL):
        return False
    setattr(type(device_ops), _KERNEL, _execute)
    BlendModule._build_cb_retrieve_plan_flat = _plan
    return True


def _plan(
    self: Any,  # noqa: ARG001  a method of LMCache's
    context: Any,
    rope: Any,  # noqa: ARG001
    block_tables: Sequence[tuple[Any, int]],
    runs: Sequence[Sequence[tuple[Any, Sequence[Any]]]],
    max_batch: int,  # noqa: ARG001
) -> tuple[list[Any], tuple[_Load], list[Any]]:
    """In LMCache's form: (specifications, further arguments of the kernel, what must live until it is done)."""
    return [], (_Load(context, block_tables, [chunk for run in runs for chunk in run]),), []


def _execute(self: Any, device: Any, pin_chunk_bytes: int, specs: Any, load: _Load) -> None:  # noqa: ARG001
    for match, objects in load.chunks:
        for object_group, memory in enumerate(objects):
            _write(load, match, object_group, memory)


def _write(load: _Load, match: Any, object_group: int, memory: Any) -> None:
    context = load.context
    lmcache_memcpy_async_h2d(memory, context.get_temp_object_group_buffer(0, object_group))
    for kernel_group in context.kv_layer_groups_manager.object_groups[object_group].kernel_group_indices:
        blocks, block_tokens = load.block_tables[kernel_group]
        if match.cur_st % block_tokens or match.cur_ed % block_tokens:
            raise ValueError(f"tokens {match.cur_st} to {match.cur_ed} are not whole blocks of {block_tokens}")
        device_ops.multi_layer_block_kv_transfer(
            context.get_kernel_group_kv_pointers(kernel_group),
            [context.get_temp_kernel_group_buffer(0, kernel_group).data_ptr()],
            torch.from_numpy(blocks[match.cur_st // block_tokens : match.cur_ed // block_tokens].copy()),
            context.device,
            lmcache_native.TransferDirection.H2D,
            context.get_shape_desc(kernel_group),
            context.get_slots_per_chunk_in_sw(kernel_group),
            context.get_engine_kv_format(kernel_group),
            0,
        )
