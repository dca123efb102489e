"""Tokens as vLLM counts them, against what real vLLM printed, and the rules on shapes small enough to follow."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.errors import ModelConfigInvalid
from backend.sizing.config_source import ModelConfig
from backend.sizing.fit import default_paging
from backend.sizing.gpus import GIB
from backend.sizing.kv import CacheTypes, KvCost
from backend.sizing.kv_pool import KvPool, Paging, kv_pool
from backend.sizing.model_shape import ModelShape, read_shape
from evals.bench.size.architectures import ARCHITECTURES

GPU = Paging(16, 16, 16384)

PRINTED_ON_A_CPU = {
    "llama": 419_328,
    "qwen2": 524_288,
    "opt": 349_440,
    "falcon": 699_008,
    "gpt_bigcode": 1_398_016,
    "mixtral": 524_288,
    "mistral": 1_342_177,
    "gemma3": 353_204,
    "deepseek_v2": 233_008,
    "jamba": 860_370,
    "granitemoehybrid": 818_400,
    "qwen3_next": 958_698,
    "gemma2": 377_016,
    "gemma3n": 794_187,
    "gemma4": 563_940,
    "gpt_oss": 818_400,
    "llama4": 493_447,
    "falcon_h1": 500_812,
    "nemotron_h": 883_011,
    "lfm2": 986_895,
    "mamba": 150_700_032,
    "mamba2": 80_936_960,
}
"""By vLLM 0.32.0, CPU build, with 1 GiB for KV (docs/kv-memory.md)."""


def cost_of_shape(shape: ModelShape) -> KvCost:
    return KvCost(shape, CacheTypes("bfloat16", "bfloat16", shape.state_dtype))


@pytest.mark.parametrize("one", ARCHITECTURES, ids=lambda one: one.name)
def test_tokens_are_those_that_vllm_printed(one):
    cost = cost_of_shape(read_shape(ModelConfig(one.name, one.config)))
    pool = kv_pool(cost, default_paging(cost, None, cpu=True))
    assert pool.reported_tokens(GIB, one.window_tokens(8192)) == PRINTED_ON_A_CPU[one.name]


@pytest.mark.parametrize(
    ("name", "kv_gib", "printed"),
    [
        ("Qwen/Qwen2.5-7B", 47.71, 893_344),
        ("Qwen/Qwen2.5-7B", 40, 748_976),
        ("Qwen/Qwen2.5-32B", 9.97, 40_832),
        ("Qwen/Qwen2.5-32B", 40, 163_840),
    ],
)
def test_tokens_are_those_that_vllm_printed_on_a_gpu(cost_of, name, kv_gib, printed):
    assert kv_pool(cost_of(name), GPU).reported_tokens(round(kv_gib * GIB), 32768) == printed


def test_a_block_holds_all_layers_of_a_uniform_model(cost_of):
    pool = kv_pool(cost_of("Qwen/Qwen2.5-7B"), GPU)
    assert pool.block_bytes == 16 * 57_344
    assert (pool.blocks_of(1), pool.blocks_of(16), pool.blocks_of(17)) == (1, 1, 2)


def test_a_window_takes_its_length_what_is_in_flight_and_one_block_more(cost_of):
    pool = kv_pool(cost_of("mistralai/Mistral-7B-v0.1"), Paging(16, 16, 2048))
    held = -(-(4096 - 1 + 2048) // 16) + 1
    assert pool.blocks_of(32768) == held
    assert pool.blocks_of(160) == 11


def test_layers_of_two_kinds_form_groups_as_large_as_the_rarer_kind(cost_of):
    # Gemma 3 27B: 10 layers of full attention, 52 with a window; 6 groups of at most 9 of the latter.
    pool = kv_pool(cost_of("google/gemma-3-27b-it"), GPU)
    assert len(pool.groups) == 1 + 6
    assert pool.block_bytes == 10 * 16 * 8192
    window = -(-(1024 - 1 + 16384) // 16) + 1
    assert pool.blocks_of(131072) == 131072 // 16 + 6 * window


def test_kinds_that_are_nearly_as_frequent_are_filled_up(shape_of):
    layers = ["full_attention"] * 4 + ["sliding_attention"] * 5
    shape = shape_of(model_type="gemma2", num_hidden_layers=9, layer_types=layers, head_dim=64, sliding_window=64)
    pool = kv_pool(cost_of_shape(shape), GPU)
    assert len(pool.groups) == 2
    assert pool.block_bytes == 5 * 16 * 2 * 2 * 64 * 2


def test_a_state_makes_attentions_block_as_large_as_itself(cost_of):
    cost = cost_of("ai21labs/Jamba-v0.1")
    pool = kv_pool(cost, GPU)
    state, token = (8192 * 16 + 8192 * 3) * 2, 2 * 8 * 128 * 2
    assert pool.block_tokens == 16 * -(-state // (16 * token)) == 80
    # 4 layers of attention in one group, 28 with a state in 7, each with the state and the one before it.
    assert pool.block_bytes == 4 * 80 * token
    assert pool.blocks_of(8000) == 100 + 7 * 2


def test_without_prefix_caching_a_sequence_has_one_state(cost_of):
    pool = kv_pool(cost_of("ai21labs/Jamba-v0.1"), Paging(16, 16, 16384, prefix_caching=False))
    assert pool.blocks_of(8000) == 100 + 7


def test_a_model_of_states_alone_holds_sequences_of_any_length(shape_of):
    shape = shape_of(
        model_type="mamba", num_hidden_layers=2, intermediate_size=512, state_size=16, num_attention_heads=None
    )
    pool = kv_pool(cost_of_shape(shape), GPU)
    assert pool.block_bytes == 2 * (512 * 16 + 512 * 3) * 2
    assert pool.blocks_of(1) == pool.blocks_of(10**6) == 1


def test_larger_heads_in_a_few_layers_share_a_pool_by_more_tokens_to_a_block(larger_heads_at_the_end):
    pool = kv_pool(cost_of_shape(larger_heads_at_the_end), Paging(16, 16, 0))
    # A layer with heads half as large puts twice the tokens into a page of equal size.
    assert sorted({(page.kind, page.block_tokens) for page in pool.groups}) == [("grows", 16), ("window", 32)]
    assert pool.blocks_of(4096) == 256 + 5 * (-(-511 // 32) + 1)


def test_latent_attention_beside_a_window_of_other_size_is_refused(shape_of):
    shape = shape_of()
    latent = read_shape(
        ModelConfig(
            "mixed",
            {
                "model_type": "deepseek_v3",
                "hidden_size": 256,
                "num_hidden_layers": 1,
                "kv_lora_rank": 64,
                "qk_rope_head_dim": 16,
            },
        )
    )
    windowed = shape_of(model_type="mistral", num_hidden_layers=1, sliding_window=64)
    mixed = ModelShape(**{**vars(shape), "layers": latent.layers + windowed.layers})
    with pytest.raises(ModelConfigInvalid, match="MLA"):
        kv_pool(cost_of_shape(mixed), GPU)


@settings(max_examples=60, deadline=None)
@given(kv_mib=st.integers(1, 4000), name=st.sampled_from(["llama", "gemma3", "jamba", "mistral", "deepseek_v2"]))
def test_the_longest_sequence_fits_and_one_more_token_does_not(kv_mib, name):
    pool = _POOLS[name]
    room, most = kv_mib * 2**20, 10**6
    longest = pool.longest_sequence(room, most)
    if longest:
        assert pool.sequences(room, longest) >= 1
    if longest < most:
        assert pool.sequences(room, longest + 1) == 0


def _pool(name: str) -> KvPool:
    config = next(one.config for one in ARCHITECTURES if one.name == name)
    return kv_pool(cost_of_shape(read_shape(ModelConfig(name, config))), GPU)


_POOLS = {name: _pool(name) for name in ("llama", "gemma3", "jamba", "mistral", "deepseek_v2")}
