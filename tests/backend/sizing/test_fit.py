from __future__ import annotations

import pytest

from backend.errors import GpuNotKnown, SizeOptionInvalid
from backend.sizing.fit import default_paging
from backend.sizing.gpus import GIB, find_gpu, gpus
from backend.sizing.report import SizeOptions, size_model
from backend.sizing.roofline import decode_bound, flops_per_token, routed_bytes_read
from backend.sizing.weights import ParameterCount, count_parameters, weight_memory


@pytest.fixture(scope="module")
def qwen_on_a100():
    return size_model(SizeOptions("Qwen/Qwen2.5-32B", gpu_names=("A100-80GB",)))


def test_the_ridge_point_of_an_a100_is_153_flop_per_byte(qwen_on_a100):
    assert qwen_on_a100.gpus[0].fit.ridge_flop_per_byte == pytest.approx(312e12 / 2039e9)


def test_what_is_left_for_kv_is_the_share_less_weights_and_reserve(qwen_on_a100):
    left = int(80 * GIB * 0.9) - 2 * 32_763_876_352 - round(2.5 * GIB)
    assert qwen_on_a100.gpus[0].fit.kv_memory_bytes == left
    assert qwen_on_a100.gpus[0].fit.kv_tokens == left // (16 * 262_144) * 16


def test_sequences_are_the_blocks_less_vllms_own(qwen_on_a100):
    found = qwen_on_a100.gpus[0].fit
    blocks = found.kv_memory_bytes // (16 * 262_144) - 1
    assert [row.sequences for row in found.contexts] == [
        blocks // (context // 16) for context in (2048, 4096, 8192, 16384, 32768, 65536, 131072)
    ]


def test_a_model_that_needs_more_gpus_says_how_many(qwen_on_a100):
    # 32 GiB for 131,072 tokens beside 61 GiB of weights: two.
    assert qwen_on_a100.gpus[0].gpus_needed == 2
    two = size_model(SizeOptions("Qwen/Qwen2.5-32B", gpu_names=("A100-80GB",), tp=2))
    assert two.gpus[0].fit.longest_tokens == 131_072
    assert (two.whole.bytes_per_token, two.each.bytes_per_token) == (262_144, 131_072)


def test_a_model_that_does_not_fit_holds_nothing():
    found = size_model(SizeOptions("meta-llama/Llama-3.1-70B", memory_gib=24)).gpus[0]
    assert found.fit.kv_memory_bytes < 0
    assert not found.fit.fits
    assert {row.sequences for row in found.fit.contexts} == {0}
    assert found.gpus_needed == 16


def test_given_the_memory_for_kv_nothing_is_taken_off():
    report = size_model(SizeOptions("Qwen/Qwen2.5-7B", kv_gib=47.71, window_tokens=32768))
    assert report.gpus[0].fit.kv_tokens == 893_344
    assert report.gpus[0].gpus_needed is None


def test_one_sequence_reads_all_weights_but_the_embedding_and_its_own_cache(qwen_on_a100):
    one = qwen_on_a100.gpus[0].fit.contexts[0].one
    read = 2 * (32_763_876_352 - 152064 * 5120) + 2048 * 262_144
    assert one.tokens_per_second == pytest.approx(2039e9 / read)
    assert one.limit == "memory"


def bound(name: str, sequences: int, context: int, cost_of, gpu: str = "H100"):
    cost = cost_of(name)
    count = count_parameters(cost.shape)
    weights = weight_memory(count, "bfloat16", "bfloat16")
    return cost, count, decode_bound(
        find_gpu(gpu), cost, count, weights, context_tokens=context, sequences=sequences
    )  # fmt: skip


def test_many_short_sequences_wait_for_compute(cost_of):
    cost, count, found = bound("Qwen/Qwen2.5-7B", 2000, 16, cost_of)
    assert found.limit == "compute"
    attention = 28 * 4 * 28 * 128 * 16
    assert flops_per_token(cost, count, 16) == 2 * (count.total - count.lookup) + attention
    assert found.tokens_per_second == pytest.approx(989.4e12 / flops_per_token(cost, count, 16))


def test_two_gpus_decode_twice_as_fast_at_best(cost_of):
    one, two = (
        decode_bound(
            find_gpu("H100"),
            cost,
            count,
            weight_memory(count, "bfloat16", "bfloat16"),
            context_tokens=4096,
            sequences=8,
        )
        for cost in (cost_of("Qwen/Qwen2.5-7B"), cost_of("Qwen/Qwen2.5-7B", tp=2))
        for count in (count_parameters(cost.shape),)
    )
    assert two.tokens_per_second == pytest.approx(2 * one.tokens_per_second)


def test_experts_are_read_as_sequences_come_to_need_them():
    count = ParameterCount(total=100, matrices=80, routed=80, routed_share=0.25, lookup=0)
    weights = weight_memory(count, "float32", "float32")
    assert routed_bytes_read(count, weights, 1) == 320 * 0.25
    assert routed_bytes_read(count, weights, 2) == 320 * (0.25 + 0.75 * 0.25)
    assert routed_bytes_read(count, weights, 1000) == pytest.approx(320)


def test_without_rates_there_is_no_bound_on_decoding():
    found = size_model(SizeOptions("gpt2", memory_gib=24)).gpus[0].fit
    assert found.ridge_flop_per_byte is None
    assert found.contexts[0].one is None


def test_fp8_weights_are_multiplied_at_the_rate_of_8_bits_where_there_is_one():
    h100, a100 = find_gpu("h100"), find_gpu("A100 80GB")
    assert h100.flops("fp8") == h100.flops_8bit == 1978.9e12
    assert a100.flops("fp8") == a100.flops_16bit
    assert h100.flops("int4") == h100.flops_16bit


@pytest.mark.parametrize(
    ("gpu", "in_flight"),
    [("B200", 32768), ("H100", 16384), ("H200", 16384), ("A100-80GB", 4096), ("L4", 4096)],
)
def test_tokens_in_flight_are_vllms_defaults_for_the_gpu(cost_of, gpu, in_flight):
    assert default_paging(cost_of("gpt2"), find_gpu(gpu), cpu=False).in_flight_tokens == in_flight


def test_an_unknown_gpu_is_answered_with_those_like_it():
    with pytest.raises(GpuNotKnown) as unknown:
        find_gpu("H100-SXM5-80")
    assert "H100" in unknown.value.near
    assert len(gpus()) >= 15


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"tp": 0}, "--tp"),
        ({"memory_gib": -1.0}, "--memory"),
        ({"memory_share": 1.5}, "--gpu-memory-share"),
        ({"reserve_gib": -1.0}, "--reserve-gib"),
        ({"dtype": "int3"}, "--dtype"),
        ({"kv_dtype": "int4"}, "--kv-dtype"),
        ({"context_tokens": ()}, "--context"),
        ({"context_tokens": (0, 5)}, "--context"),
        ({"gpu_names": ("H100",), "memory_gib": 80.0}, "--gpu and --memory"),
    ],
)
def test_an_option_that_cannot_work_is_named(options, option):
    with pytest.raises(SizeOptionInvalid) as invalid:
        size_model(SizeOptions("gpt2", **options))
    assert invalid.value.option == option


def test_float32_is_computed_in_float32_and_other_weights_in_16_bits():
    types = {
        dtype: size_model(SizeOptions("Qwen/Qwen2.5-7B", dtype=dtype, memory_gib=80)).whole.types.kv
        for dtype in ("float32", "float16", "fp8", "int4")
    }
    assert types == {"float32": "float32", "float16": "float16", "fp8": "bfloat16", "int4": "bfloat16"}
