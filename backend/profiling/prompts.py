"""Prompts of random tokens: nothing of them is cached, and their length is exact."""

from __future__ import annotations

import random
from collections.abc import Sequence

BEYOND_CHUNKS = 16
"""Tokens after the last whole chunk: the engine must have something left to compute."""

_ENDS_SHARE = 10
"""The first and the last tenth of a vocabulary are left out: they hold special tokens."""


class Prompts:
    """Draws from the system's randomness, not from a seed: a second run must not find the first one's prompts."""

    def __init__(self, token_ids: Sequence[int]) -> None:
        self._token_ids = token_ids
        self._source = random.SystemRandom()

    def new(self, tokens: int) -> list[int]:
        return self._source.choices(self._token_ids, k=tokens)

    def beyond(self, tokens: int) -> list[int]:
        """A prompt of `tokens` tokens, which are whole chunks, and a few more."""
        return self.new(tokens + BEYOND_CHUNKS)


def ordinary_tokens(vocabulary: int) -> range:
    """The ids of a vocabulary of that size that a prompt may hold."""
    return range(vocabulary // _ENDS_SHARE, vocabulary - vocabulary // _ENDS_SHARE)
