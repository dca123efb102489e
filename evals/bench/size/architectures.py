"""Small models of many kinds of cache: configs that vLLM starts on a CPU with random weights, in a minute and 3 GB.

Each has the kind of attention of a well-known architecture, at sizes of no meaning; heads are as small as vLLM's
attention on a CPU takes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Architecture:
    """`kind` is what it stands for; `config` is a whole config.json. `architecture` is the class vLLM looks up."""

    name: str
    kind: str
    config: Mapping[str, Any]

    def window_tokens(self, most: int) -> int:
        """The longest sequence, at most `most`."""
        return min(most, self.config.get("max_position_embeddings") or self.config.get("n_positions") or most)


def _config(model_type: str, architecture: str, **fields: Any) -> dict[str, Any]:
    shared = {
        "architectures": [architecture],
        "model_type": model_type,
        "torch_dtype": "bfloat16",
        "vocab_size": 1024,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    return {**shared, **fields}


def _decoder(model_type: str, architecture: str, **fields: Any) -> dict[str, Any]:
    sizes = {
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 32768,
        "tie_word_embeddings": True,
    }
    return _config(model_type, architecture, **{**sizes, **fields})


ARCHITECTURES: tuple[Architecture, ...] = (
    Architecture("llama", "GQA", _decoder("llama", "LlamaForCausalLM", num_hidden_layers=5)),
    Architecture(
        "qwen2", "GQA with biases", _decoder("qwen2", "Qwen2ForCausalLM", num_attention_heads=8, hidden_size=512)
    ),
    Architecture(
        "opt",
        "MHA",
        _config(
            "opt",
            "OPTForCausalLM",
            hidden_size=256,
            word_embed_proj_dim=256,
            ffn_dim=512,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=4096,
        ),
    ),
    Architecture(
        "falcon",
        "MQA",
        _config(
            "falcon",
            "FalconForCausalLM",
            hidden_size=320,
            num_hidden_layers=6,
            num_attention_heads=5,
            max_position_embeddings=2048,
            multi_query=True,
            new_decoder_architecture=False,
            parallel_attn=True,
            bias=False,
            alibi=False,
        ),
    ),
    Architecture(
        "gpt_bigcode",
        "MQA with learned positions",
        _config(
            "gpt_bigcode",
            "GPTBigCodeForCausalLM",
            n_embd=256,
            n_inner=512,
            n_layer=3,
            n_head=4,
            n_positions=2048,
            multi_query=True,
        ),
    ),
    Architecture(
        "mixtral",
        "mixture of experts, GQA",
        _decoder("mixtral", "MixtralForCausalLM", num_local_experts=4, num_experts_per_tok=2, sliding_window=None),
    ),
    Architecture(
        "mistral",
        "sliding window in every layer",
        _decoder("mistral", "MistralForCausalLM", sliding_window=1024),
    ),
    Architecture(
        "gemma3",
        "sliding window in 5 of 6 layers",
        _decoder(
            "gemma3_text",
            "Gemma3ForCausalLM",
            num_hidden_layers=13,
            head_dim=64,
            sliding_window=512,
            sliding_window_pattern=6,
            query_pre_attn_scalar=64,
        ),
    ),
    Architecture(
        "gemma2",
        "sliding window in every second layer",
        _decoder(
            "gemma2",
            "Gemma2ForCausalLM",
            num_hidden_layers=7,
            head_dim=64,
            sliding_window=1024,
            query_pre_attn_scalar=64,
        ),
    ),
    Architecture(
        "gemma3n",
        "the last layers read the keys of others",
        _decoder(
            "gemma3n_text",
            "Gemma3nForCausalLM",
            num_hidden_layers=10,
            head_dim=64,
            num_kv_shared_layers=4,
            hidden_size_per_layer_input=64,
            vocab_size_per_layer_input=1024,
            layer_types=(["sliding_attention"] * 4 + ["full_attention"]) * 2,
            sliding_window=512,
            laurel_rank=16,
            activation_sparsity_pattern=[0.0] * 10,
        ),
    ),
    Architecture(
        "gemma4",
        "larger heads in layers without a window",
        _decoder(
            "gemma4_text",
            "Gemma4ForCausalLM",
            num_hidden_layers=6,
            head_dim=64,
            global_head_dim=128,
            num_kv_shared_layers=0,
            hidden_size_per_layer_input=0,
            vocab_size_per_layer_input=1024,
            layer_types=["sliding_attention"] * 5 + ["full_attention"],
            sliding_window=512,
        ),
    ),
    Architecture(
        "gpt_oss",
        "sliding window with sinks",
        _decoder(
            "gpt_oss",
            "GptOssForCausalLM",
            head_dim=64,
            sliding_window=128,
            num_local_experts=4,
            num_experts_per_tok=2,
            tie_word_embeddings=False,
        ),
    ),
    Architecture(
        "llama4",
        "pieces of fixed length in 3 of 4 layers",
        _decoder(
            "llama4_text",
            "Llama4ForCausalLM",
            num_hidden_layers=8,
            head_dim=64,
            attention_chunk_size=1024,
            num_local_experts=2,
            num_experts_per_tok=1,
            intermediate_size_mlp=512,
            interleave_moe_layer_step=1,
            tie_word_embeddings=False,
        ),
    ),
    Architecture(
        "deepseek_v2",
        "MLA",
        _decoder(
            "deepseek_v2",
            "DeepseekV2ForCausalLM",
            num_key_value_heads=4,
            moe_intermediate_size=128,
            kv_lora_rank=512,
            q_lora_rank=None,
            qk_nope_head_dim=128,
            qk_rope_head_dim=64,
            v_head_dim=128,
            n_routed_experts=4,
            n_shared_experts=1,
            num_experts_per_tok=2,
            first_k_dense_replace=1,
            tie_word_embeddings=False,
        ),
    ),
    Architecture(
        "jamba",
        "Mamba in 7 of 8 layers",
        _decoder(
            "jamba",
            "JambaForCausalLM",
            num_hidden_layers=16,
            attn_layer_period=8,
            attn_layer_offset=4,
            expert_layer_period=2,
            expert_layer_offset=1,
            num_experts=4,
            num_experts_per_tok=2,
            mamba_d_state=16,
            mamba_d_conv=4,
            mamba_expand=2,
            mamba_dt_rank=16,
        ),
    ),
    Architecture(
        "granitemoehybrid",
        "Mamba 2 in 3 of 4 layers",
        _decoder(
            "granitemoehybrid",
            "GraniteMoeHybridForCausalLM",
            num_hidden_layers=8,
            layer_types=["mamba", "mamba", "mamba", "attention"] * 2,
            num_local_experts=0,
            num_experts_per_tok=0,
            shared_intermediate_size=512,
            mamba_n_heads=8,
            mamba_n_groups=1,
            mamba_d_head=64,
            mamba_d_state=64,
            mamba_d_conv=4,
            mamba_expand=2,
            position_embedding_type="rope",
        ),
    ),
    Architecture(
        "qwen3_next",
        "gated delta net in 3 of 4 layers",
        _decoder(
            "qwen3_next",
            "Qwen3NextForCausalLM",
            num_hidden_layers=8,
            head_dim=64,
            full_attention_interval=4,
            moe_intermediate_size=128,
            shared_expert_intermediate_size=128,
            num_experts=4,
            num_experts_per_tok=2,
            decoder_sparse_step=1,
            mlp_only_layers=[],
            linear_conv_kernel_dim=4,
            linear_key_head_dim=64,
            linear_value_head_dim=64,
            linear_num_key_heads=2,
            linear_num_value_heads=4,
        ),
    ),
    Architecture(
        "falcon_h1",
        "attention and Mamba 2 in every layer",
        _decoder(
            "falcon_h1",
            "FalconH1ForCausalLM",
            mamba_d_ssm=512,
            mamba_n_heads=8,
            mamba_d_head=64,
            mamba_d_state=32,
            mamba_n_groups=1,
            mamba_d_conv=4,
        ),
    ),
    Architecture(
        "nemotron_h",
        "Mamba 2 in float32, layers without a cache",
        _decoder(
            "nemotron_h",
            "NemotronHForCausalLM",
            num_hidden_layers=8,
            hybrid_override_pattern="M-M*M-M*",
            head_dim=64,
            mamba_num_heads=8,
            mamba_head_dim=64,
            ssm_state_size=32,
            n_groups=1,
            conv_kernel=4,
            tie_word_embeddings=False,
        ),
    ),
    Architecture(
        "lfm2",
        "short convolutions in 2 of 3 layers",
        _decoder(
            "lfm2",
            "Lfm2ForCausalLM",
            num_hidden_layers=6,
            layer_types=["conv", "conv", "full_attention"] * 2,
            conv_L_cache=3,
            conv_dim=256,
            block_dim=256,
            block_ff_dim=512,
            block_multiple_of=64,
            block_ffn_dim_multiplier=1.0,
            block_auto_adjust_ff_dim=False,
        ),
    ),
    Architecture(
        "mamba",
        "states alone",
        _config(
            "mamba",
            "MambaForCausalLM",
            hidden_size=256,
            intermediate_size=512,
            num_hidden_layers=3,
            state_size=16,
            conv_kernel=4,
            expand=2,
            time_step_rank=16,
            tie_word_embeddings=True,
        ),
    ),
    Architecture(
        "mamba2",
        "states alone, Mamba 2",
        _config(
            "mamba2",
            "Mamba2ForCausalLM",
            hidden_size=256,
            num_hidden_layers=3,
            num_heads=8,
            head_dim=64,
            state_size=32,
            n_groups=1,
            conv_kernel=4,
            expand=2,
            tie_word_embeddings=True,
        ),
    ),
)
