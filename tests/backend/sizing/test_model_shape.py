from __future__ import annotations

import json

import pytest

from backend.errors import ModelConfigInvalid, ModelNotKnown, SizeOptionInvalid
from backend.sizing.config_source import find_config, known_models
from backend.sizing.kv import attention_kind
from backend.sizing.layer_cache import AttentionCache, LatentCache, StateCache
from backend.sizing.model_shape import read_shape


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("meta-llama/Llama-2-7b-hf", "MHA"),
        ("gpt2", "MHA"),
        ("Qwen/Qwen2.5-32B", "GQA"),
        ("tiiuae/falcon-7b", "MQA"),
        ("bigcode/starcoder", "MQA"),
        ("deepseek-ai/DeepSeek-V3", "MLA"),
        ("mistralai/Mistral-7B-v0.1", "GQA, sliding window"),
        ("google/gemma-3-27b-it", "GQA, sliding window"),
        ("Qwen/Qwen3-Next-80B-A3B-Instruct", "GQA, states of fixed size"),
    ],
)
def test_the_kind_of_attention_is_named(name, kind):
    assert attention_kind(read_shape(find_config(name))) == kind


def test_every_known_model_can_be_read_by_name_alias_and_last_part():
    assert len(known_models()) >= 20
    for known in known_models():
        assert read_shape(find_config(known.name)).layers
        for alias in known.aliases:
            assert find_config(alias.upper()).fields == known.fields
        assert find_config(known.name.rpartition("/")[2]).fields == known.fields


def test_layers_of_gemma_3_look_back_1024_tokens_but_for_every_sixth():
    layers = read_shape(find_config("google/gemma-3-27b-it")).layers
    assert [layer[0].window_tokens for layer in layers[:12]] == ([1024] * 5 + [None]) * 2


def test_jamba_has_attention_in_every_eighth_layer():
    layers = read_shape(find_config("ai21labs/Jamba-v0.1")).layers
    assert [index for index, layer in enumerate(layers) if isinstance(layer[0], AttentionCache)] == [4, 12, 20, 28]
    assert isinstance(layers[0][0], StateCache)


def test_a_layer_with_attention_and_a_state_keeps_both(shape_of):
    shape = shape_of(model_type="falcon_h1", mamba_d_ssm=512, mamba_n_heads=8, mamba_d_head=64, mamba_d_state=32)
    assert [[type(cache) for cache in layer] for layer in shape.layers] == [[AttentionCache, StateCache]] * 2


def test_layers_that_read_the_keys_of_others_keep_nothing(shape_of):
    shape = shape_of(model_type="gemma3n_text", num_hidden_layers=10, num_kv_shared_layers=4)
    assert [len(layer) for layer in shape.layers] == [1] * 6 + [0] * 4


def test_layers_of_different_shape_are_read_one_by_one(larger_heads_at_the_end):
    assert [layer[0].head_dim for layer in larger_heads_at_the_end.layers] == [64] * 5 + [128]


def test_pieces_of_llama_4_are_told_from_windows(shape_of):
    shape = shape_of(
        model_type="llama4_text",
        num_hidden_layers=4,
        layer_types=["chunked_attention", "chunked_attention", "chunked_attention", "full_attention"],
        attention_chunk_size=8192,
    )
    assert [(layer[0].window_tokens, layer[0].chunked) for layer in shape.layers] == [(8192, True)] * 3 + [
        (None, False)
    ]


def test_a_window_that_is_switched_off_is_none(shape_of):
    shape = shape_of(model_type="qwen2", sliding_window=1024, use_sliding_window=False)
    assert all(layer[0].window_tokens is None for layer in shape.layers)


def test_latent_attention_keeps_the_latent_and_the_rotary_part():
    layers = read_shape(find_config("deepseek-ai/DeepSeek-V3")).layers
    assert layers[0] == (LatentCache(query_heads=128, latent_dim=512, position_dim=64),)


def test_a_rotary_size_that_the_class_renames_is_read_from_the_file(shape_of):
    shape = shape_of(
        model_type="glm4_moe_lite", kv_lora_rank=512, qk_rope_head_dim=64, qk_nope_head_dim=192, head_dim=192
    )
    assert shape.layers[0][0].position_dim == 64


def test_models_that_see_images_are_sized_by_their_language_model(shape_of):
    shape = shape_of(
        model_type="gemma3",
        text_config={"model_type": "gemma3_text", "hidden_size": 64, "num_hidden_layers": 3, "head_dim": 32},
    )
    # What the file leaves out is the architecture's: 4 KV heads.
    assert shape.layers[0][0].kv_heads == 4
    assert len(shape.layers) == 3


@pytest.mark.parametrize(
    ("fields", "field", "problem"),
    [
        ({"model_type": None}, "model_type", "is missing"),
        ({"model_type": "hyena9"}, "model_type", "does not know"),
        ({"hidden_size": None}, "hidden_size", "is missing"),
        ({"num_hidden_layers": None}, "num_hidden_layers", "is missing"),
        ({"num_hidden_layers": -1}, "num_hidden_layers", "is -1"),
        ({"num_hidden_layers": "many"}, "a field", "num_hidden_layers"),
        ({"num_key_value_heads": 3}, "num_key_value_heads", "must divide"),
        ({"num_key_value_heads": 0}, "num_key_value_heads", "is 0"),
        ({"model_type": "gemma2", "layer_types": ["full_attention", "wavy"]}, "a field", "layer_types"),
        ({"model_type": "gemma2", "layer_types": ["full_attention"] * 3}, "a field", "layer_types"),
        (
            {"model_type": "gemma2", "layer_types": ["full_attention", "indexed_attention"]},
            "layer_types[1]",
            "'indexed_attention'",
        ),
        (
            {"model_type": "gemma2", "layer_types": ["sliding_attention"] * 2, "sliding_window": 0},
            "sliding_window",
            "is 0",
        ),
        ({"model_type": "minimax"}, "model_type", "unknown shape"),
        ({"quantization_config": {"quant_method": "hqq"}}, "quantization_config", "--dtype"),
    ],
)
def test_what_cannot_be_sized_is_named(shape_of, fields, field, problem):
    with pytest.raises(ModelConfigInvalid) as invalid:
        shape_of(**fields)
    assert invalid.value.field == field
    assert problem in str(invalid.value)


def test_heads_that_do_not_divide_by_the_gpus_are_refused(shape_of):
    with pytest.raises(SizeOptionInvalid, match="4 query heads"):
        shape_of(tp=3)


@pytest.mark.parametrize(
    ("quantization", "stored"),
    [
        (None, "bfloat16"),
        ({"quant_method": "fp8"}, "fp8"),
        ({"quant_method": "awq", "bits": 4}, "int4"),
        ({"quant_method": "gptq", "bits": 8}, "int8"),
    ],
)
def test_the_type_that_weights_are_stored_in_is_the_configs(shape_of, quantization, stored):
    assert shape_of(quantization_config=quantization, torch_dtype="bfloat16").stored_dtype == stored


def test_a_file_a_folder_and_the_shipped_model_are_found(tmp_path, shape_of):
    config = dict(find_config("Qwen/Qwen2.5-7B").fields)
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    other = tmp_path / "other.json"
    other.write_text(json.dumps(config))
    assert (find_config(folder).name, find_config(folder / "config.json").name) == ("mine", "mine")
    assert (find_config(other).name, find_config(other).fields) == ("other", config)
    assert read_shape(find_config("kvasir-mini")).name == "kvasir-mini"


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_file_that_is_no_config_is_told(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(ModelConfigInvalid, match="the file"):
        find_config(path)


def test_an_unknown_name_is_answered_with_those_like_it():
    with pytest.raises(ModelNotKnown) as unknown:
        find_config("Qwen/Qwen25-32B")
    assert "Qwen/Qwen2.5-32B" in unknown.value.near
    assert "--list" in str(unknown.value)
    assert "folder" in str(unknown.value)
