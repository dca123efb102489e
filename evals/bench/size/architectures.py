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
)
