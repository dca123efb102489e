"""Counts against the totals that the models' publishers give (their safetensors files' own count)."""

from __future__ import annotations

import pytest

from backend.errors import ModelConfigInvalid
from backend.sizing.config_source import find_config
from backend.sizing.model_shape import read_shape
from backend.sizing.weights import ParameterCount, count_parameters, weight_memory

PUBLISHED = {
    "Qwen/Qwen2.5-0.5B": 494_032_768,
    "Qwen/Qwen2.5-7B": 7_615_616_512,
    "Qwen/Qwen2.5-32B": 32_763_876_352,
    "Qwen/Qwen2.5-72B": 72_706_203_648,
    "Qwen/Qwen3-8B": 8_190_735_360,
    "Qwen/Qwen3-32B": 32_762_123_264,
    "Qwen/Qwen3-30B-A3B": 30_532_122_624,
    "Qwen/Qwen3-235B-A22B": 235_093_634_560,
    "ai21labs/Jamba-v0.1": 51_570_323_328,
    "bigcode/starcoder": 15_517_456_384,
    "deepseek-ai/DeepSeek-V2-Lite": 15_706_484_224,
    "facebook/opt-1.3b": 1_315_758_080,
    "google/gemma-2-9b": 9_241_705_984,
    "google/gemma-2-27b": 27_227_128_320,
    "google/gemma-3-1b-it": 999_885_952,
    "google/gemma-3-27b-it": 27_432_406_640,
    "gpt2": 124_439_808,
    "meta-llama/Llama-2-7b-hf": 6_738_415_616,
    "meta-llama/Llama-3.1-8B": 8_030_261_248,
    "meta-llama/Llama-3.1-70B": 70_553_706_496,
    "meta-llama/Llama-3.1-405B": 405_853_388_800,
    "meta-llama/Llama-3.2-1B": 1_235_814_400,
    "meta-llama/Llama-3.2-3B": 3_212_749_824,
    "microsoft/Phi-3-mini-4k-instruct": 3_821_079_552,
    "microsoft/phi-2": 2_779_683_840,
    "microsoft/phi-4": 14_659_507_200,
    "mistralai/Mistral-7B-v0.1": 7_241_732_096,
    "mistralai/Mistral-7B-v0.3": 7_248_023_552,
    "mistralai/Mixtral-8x7B-v0.1": 46_702_792_704,
    "openai/gpt-oss-120b": 116_829_156_672,
    "openai/gpt-oss-20b": 20_914_757_184,
}


def count(name: str) -> ParameterCount:
    return count_parameters(read_shape(find_config(name)))


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_known_model_has_as_many_weights_as_its_publisher_says(name):
    assert count(name).total == PUBLISHED[name]


def test_deepseek_v3_has_its_weights_but_for_the_routers_biases():
    # Which transformers keeps as buffers: one for each of 256 experts in 58 layers.
    assert count("deepseek-ai/DeepSeek-V3").total == 671_026_419_200 - 58 * 256


def test_a_token_uses_two_of_eight_experts():
    mixtral = count("mistralai/Mixtral-8x7B-v0.1")
    assert mixtral.routed == 32 * 8 * 3 * 4096 * 14336
    assert mixtral.active == 12_879_925_248


def test_a_dense_model_uses_all():
    assert count("Qwen/Qwen2.5-0.5B").active == 494_032_768


def test_only_an_embedding_that_is_not_the_output_layer_as_well_is_merely_looked_up():
    assert count("meta-llama/Llama-3.1-8B").lookup == 128256 * 4096
    assert count("meta-llama/Llama-3.2-1B").lookup == 0


def test_bytes_in_16_bits_are_two_a_weight():
    counted = count("Qwen/Qwen2.5-32B")
    memory = weight_memory(counted, "bfloat16", "bfloat16")
    assert memory.total_bytes == 2 * 32_763_876_352
    # A decoding step reads all but the embedding.
    assert memory.shared_bytes == memory.total_bytes - 2 * 152064 * 5120
    assert memory.routed_bytes == 0


def test_float32_takes_four_bytes_throughout():
    counted = count("gpt2")
    assert weight_memory(counted, "float32", "float16").total_bytes == 4 * counted.total


def test_smaller_formats_leave_embeddings_and_vectors_in_16_bits():
    # Llama-3.1-8B: two embeddings of 128256 × 4096; two norms a layer and one at the end, of 4096.
    kept = 2 * 128256 * 4096 + (2 * 32 + 1) * 4096
    counted = count("meta-llama/Llama-3.1-8B")
    matrices = counted.total - kept
    assert counted.matrices == matrices
    assert weight_memory(counted, "fp8", "bfloat16").total_bytes == matrices + 2 * kept
    # AWQ's 4-bit files of this model are 5.7 GB.
    assert weight_memory(counted, "int4", "bfloat16").total_bytes == pytest.approx(5.73e9, rel=0.01)


def test_embeddings_are_known_by_what_they_are_not_by_their_name():
    # GPT-2 calls its two wte and wpe; in a layer, matrices of 768 × (3 × 768 + 768 + 4 × 768 + 4 × 768).
    assert count("gpt2").matrices == 12 * 768 * 12 * 768


def test_mxfp4_shrinks_experts_alone():
    # The published files of gpt-oss-20b are 13.76 GB.
    counted = count("openai/gpt-oss-20b")
    assert weight_memory(counted, "mxfp4", "bfloat16").total_bytes == pytest.approx(13.76e9, rel=0.005)


def test_experts_without_a_number_of_chosen_ones_are_refused(shape_of):
    shape = shape_of(model_type="mixtral", num_local_experts=4, num_experts_per_tok=0)
    with pytest.raises(ModelConfigInvalid, match="num_experts_per_tok"):
        count_parameters(shape)
