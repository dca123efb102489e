"""The one configuration that kvasir-mini is trained with."""

from __future__ import annotations

from dataclasses import dataclass

from backend.mini.tokenizer import VOCAB_TOKENS, WINDOW_TOKENS


@dataclass(frozen=True, slots=True)
class Shape:
    """A Llama of tied embeddings; heads are `hidden / heads` wide."""

    hidden: int = 384
    layers: int = 14
    heads: int = 6
    kv_heads: int = 6
    intermediate: int = 1024
    vocab_tokens: int = VOCAB_TOKENS
    """At most: a model has as many as its tokenizer, to the next multiple of 64."""
    window_tokens: int = WINDOW_TOKENS


@dataclass(frozen=True, slots=True)
class Training:
    """`seconds` is the budget that the learning rate decays over; a run that is resumed keeps its share of it."""

    shape: Shape = Shape()
    seed: int = 1
    held_out_seed: int = 1_000_003
    data: str = ""
    """The folder of Spider's training questions; without it, nothing is mixed in."""
    tokenizer_databases: int = 1_200
    tokenizer_least: int = 40
    """In how many of them a piece has to stand to become a token."""
    seconds: float = 780.0
    batch_tokens: int = 65_536
    lengths: tuple[int, ...] = (384, 640, 1024, 1536, 2304, 4096)
    """Samples are padded to the next of these; a longer one is left out."""
    easy_databases: int = 6_000
    """The first databases give contexts of one or two tables: copying a name has to emerge before choosing one."""
    max_tables: int = 5
    wide_share: float = 0.1
    """Of conversations, on up to twelve tables."""
    piece_share: float = 0.35
    """Of databases, whose names are made of the tokenizer's entries and of Spider's words: a token that is never copied
    in training cannot be copied at all."""
    spider_samples: int = 8
    """A chunk of databases, where Spider's training questions are at hand."""
    learning_rate: float = 1.5e-3
    """AdamW's, for embeddings and norms."""
    matrix_learning_rate: float = 3e-3
    """Muon's, for the matrices of the layers."""
    momentum: float = 0.95
    final_share: float = 0.02
    """Of the peak learning rates, at the end."""
    warmup_steps: int = 200
    weight_decay: float = 0.1
    clip: float = 1.0
    context_share: float = 0.15
    """How many of the context's tokens are predicted too, chosen at random."""
    context_weight: float = 0.3
    checkpoint_seconds: float = 120.0
