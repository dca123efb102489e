"""Makes a small causal language model with random weights: a folder that transformers and vLLM both load.

It answers nonsense, at the cost of milliseconds, through every part that a real model passes: tokenizer, chat
template, attention, KV cache. The shape is Qwen2 (grouped-query attention, rotary positions), one of the most
common in use. The tokenizer is a byte-level BPE trained on the texts given, so that any text round-trips.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""ChatML without a default system message, so that two conversations share exactly the text that they share."""

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"


def make_model_folder(
    path: Path,
    texts: Iterable[str],
    *,
    layers: int = 2,
    hidden: int = 64,
    heads: int = 4,
    kv_heads: int = 2,
    vocab_tokens: int = 2000,
    window_tokens: int = 4096,
    seed: int = 0,
) -> Path:
    """Write config, weights (bfloat16), tokenizer and chat template into `path`, which is made if absent.

    The same texts, shape and seed give the same weights and tokenizer. `hidden` must be a multiple of `heads`, and
    `heads` of `kv_heads`; the vocabulary is smaller than `vocab_tokens` where the texts hold fewer merges.
    """
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    if hidden % heads or heads % kv_heads:
        raise ValueError(f"hidden={hidden}, heads={heads}, kv_heads={kv_heads}: each must divide the one before")
    path.mkdir(parents=True, exist_ok=True)
    tokenizer = _train_tokenizer(texts, vocab_tokens)
    tokenizer.save_pretrained(path)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=window_tokens,
        bos_token_id=None,
        eos_token_id=tokenizer.convert_tokens_to_ids(END),
        pad_token_id=tokenizer.convert_tokens_to_ids(PAD),
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2ForCausalLM(config).to(torch.bfloat16)
    with torch.no_grad():
        # Its logit is 0 then and never the largest: a greedy answer ends at max_tokens, whatever the tokenizer was
        # trained on, instead of at a random place.
        model.get_input_embeddings().weight[config.eos_token_id] = 0
    model.save_pretrained(path)
    return path


def _train_tokenizer(texts: Iterable[str], vocab_tokens: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_tokens,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token=END,
        pad_token=PAD,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )
