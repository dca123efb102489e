"""Cache sizes worked out by hand from the published shapes."""

from __future__ import annotations

import pytest

from backend.sizing.config_source import find_config
from backend.sizing.kv import CacheTypes, KvCost
from backend.sizing.layer_cache import state_caches
from backend.sizing.model_shape import read_shape

PER_TOKEN = {
    "Qwen/Qwen2.5-32B": 2 * 64 * 8 * 128 * 2,
    "Qwen/Qwen2.5-7B": 2 * 28 * 4 * 128 * 2,
    "meta-llama/Llama-2-7b-hf": 2 * 32 * 32 * 128 * 2,
    "tiiuae/falcon-7b": 2 * 32 * 1 * 64 * 2,
    "deepseek-ai/DeepSeek-V3": 61 * (512 + 64) * 2,
    "ai21labs/Jamba-v0.1": 2 * 4 * 8 * 128 * 2,
    "google/gemma-3-27b-it": 2 * 62 * 16 * 128 * 2,
}


@pytest.mark.parametrize("name", PER_TOKEN)
def test_bytes_per_token_are_those_of_the_shape(cost_of, name):
    assert cost_of(name).bytes_per_token == PER_TOKEN[name]


def test_the_worked_example_of_qwen_32b(cost_of):
    cost = cost_of("Qwen/Qwen2.5-32B")
    assert cost.bytes_per_token == 262_144
    gigabytes = [round(cost.sequence_bytes(tokens) / 1e9, 2) for tokens in (2048, 8192, 32768, 131072)]
    assert gigabytes == [0.54, 2.15, 8.59, 34.36]


@pytest.mark.parametrize(("kv", "share"), [("fp8", 0.5), ("float16", 1.0), ("float32", 2.0)])
def test_the_type_of_keys_and_values_scales_them(cost_of, kv, share):
    assert cost_of("Qwen/Qwen2.5-7B", kv=kv).bytes_per_token == 57_344 * share


def test_a_full_window_stops_growing(cost_of):
    cost = cost_of("google/gemma-3-27b-it")
    each = 2 * 16 * 128 * 2
    assert cost.bytes_per_token_past_window == 10 * each
    assert cost.sequence_bytes(1024) == 62 * each * 1024
    assert cost.sequence_bytes(32768) == each * (52 * 1024 + 10 * 32768)


def test_a_state_is_as_large_for_one_token_as_for_many(cost_of):
    cost = cost_of("ai21labs/Jamba-v0.1")
    # Mamba of width 8192 with 16 numbers a channel, and a convolution that looks 3 back.
    state = 28 * (8192 * 16 + 8192 * 3) * 2
    assert cost.state_bytes == state
    assert cost.sequence_bytes(1) - cost.bytes_per_token == state
    assert cost.sequence_bytes(100_000) - 100_000 * cost.bytes_per_token == state


def test_heads_are_shared_out_and_then_repeated(cost_of):
    whole = cost_of("Qwen/Qwen2.5-7B").bytes_per_token
    assert cost_of("Qwen/Qwen2.5-7B", tp=4).bytes_per_token == whole / 4
    # 4 KV heads on 7 GPUs: each has one.
    assert cost_of("Qwen/Qwen2.5-7B", tp=7).bytes_per_token == whole / 4


def test_a_latent_is_whole_on_every_gpu(cost_of):
    one, eight = (cost_of("deepseek-ai/DeepSeek-V3", tp=tp) for tp in (1, 8))
    assert one.bytes_per_token == eight.bytes_per_token == 70_272


def test_groups_of_mamba_2_are_repeated_where_they_do_not_divide(shape_of):
    fields = {
        "model_type": "bamba",
        "num_hidden_layers": 2,
        "attn_layer_indices": [1],
        "mamba_expand": 2,
        "mamba_n_groups": 1,
        "mamba_n_heads": 8,
        "mamba_d_head": 64,
        "mamba_d_state": 16,
        "mamba_d_conv": 4,
    }
    convolutions = [state_caches(shape_of(tp=tp, **fields).caches)[0].elements("convolution") for tp in (1, 2)]
    assert convolutions == [(512 + 2 * 16) * 3, (512 + 2 * 2 * 16) // 2 * 3]


def test_a_recurrence_may_be_kept_in_another_type_than_its_convolution():
    shape = read_shape(find_config("Qwen/Qwen3-Next-80B-A3B-Instruct"))
    sizes = [KvCost(shape, CacheTypes("bfloat16", "bfloat16", kept)).state_bytes for kept in ("bfloat16", "float32")]
    assert sizes[1] - sizes[0] == 36 * 32 * 128 * 128 * 2
