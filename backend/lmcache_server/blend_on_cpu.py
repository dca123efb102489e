"""The last step of LMCache's blend engine on a CPU: write chunks that lie elsewhere in a prompt than they did before.

LMCache 0.5.6 has it as a CUDA kernel alone (`execute_cb_retrieve_plan_flat`), and fails each such load without it. This
does the same with LMCache's own copies and PyTorch. Keys hold their position as a rotation; one by the difference
of the positions moves them. Values hold none.

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
from lmcache.v1.multiprocess.modules.blend.rope import _cb_group_rope_geometry
from lmcache.v1.multiprocess.object_group_transfer import lmcache_memcpy_async_h2d

from backend.lmcache_server.rotation import rotate

_KERNEL = "execute_cb_retrieve_plan_flat"


@dataclass(frozen=True)
class _Move:
    """One request's chunks, each a match of LMCache's with its memory objects, into the blocks of `block_tables`."""

    context: Any
    rope: Any
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
    rope: Any,
    block_tables: Sequence[tuple[Any, int]],
    runs: Sequence[Sequence[tuple[Any, Sequence[Any]]]],
    max_batch: int,  # noqa: ARG001
) -> tuple[list[Any], tuple[_Move], list[Any]]:
    """In LMCache's form: (specifications, further arguments of the kernel, what must live until it is done)."""
    return [], (_Move(context, rope, block_tables, [chunk for run in runs for chunk in run]),), []


def _execute(self: Any, device: Any, pin_chunk_bytes: int, specs: Any, move: _Move) -> None:  # noqa: ARG001
    for match, objects in move.chunks:
        for object_group, memory in enumerate(objects):
            _write(move, match, object_group, memory)


def _write(move: _Move, match: Any, object_group: int, memory: Any) -> None:
    context = move.context
    lmcache_memcpy_async_h2d(memory, context.get_temp_object_group_buffer(0, object_group))
    manager = context.kv_layer_groups_manager
    for kernel_group in manager.object_groups[object_group].kernel_group_indices:
        blocks, block_tokens = move.block_tables[kernel_group]
        if match.cur_st % block_tokens or match.cur_ed % block_tokens:
            raise ValueError(f"tokens {match.cur_st} to {match.cur_ed} are not whole blocks of {block_tokens}")
        staged = context.get_temp_kernel_group_buffer(0, kernel_group)
        if match.cur_st != match.old_st:
            _turn(staged, manager.kernel_groups[kernel_group], kernel_group, match.cur_st - match.old_st, move.rope)
        ids = torch.from_numpy(blocks[match.cur_st // block_tokens : match.cur_ed // block_tokens].copy())
        device_ops.multi_layer_block_kv_transfer(
            context.get_kernel_group_kv_pointers(kernel_group),
            [staged.data_ptr()],
            ids,
            context.device,
            lmcache_native.TransferDirection.H2D,
            context.get_shape_desc(kernel_group),
            context.get_slots_per_chunk_in_sw(kernel_group),
            context.get_engine_kv_format(kernel_group),
            0,
        )


def _turn(staged: torch.Tensor, group: Any, number: int, distance: int, rope: Any) -> None:
    """`staged` is a chunk of shape (1 or 2, layers, tokens, width): keys, then values or with them in each head."""
    engine_group = group.engine_group_idx
    window = rope.rot_for_group(engine_group, staged.dtype)
    cache = rope.cache_for_group(engine_group)
    if window is None or cache is None:
        return
    head_size = rope.head_size_for_group(engine_group)
    _, head_width, _, begin = _cb_group_rope_geometry(
        group, staged.shape[0], staged.shape[-1], head_size, number, window
    )
    rotate(staged[0, ..., begin:], distance, cache, head_width - begin, rope.is_neox_style)
