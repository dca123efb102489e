"""Prefix caches: one without an end, what any that keeps whole blocks could reuse of the prompts before, and one with.

A block counts by its own tokens and all before it, as in vLLM's hash chain. The last token of a prompt is always
computed, since the answer's first token comes out of it; so a block that ends with it is never a hit.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.uint32]


class BlockCache:
    """It forgets nothing. An answer is in it where whoever uses it takes that, too, as the end of a prompt."""

    def __init__(self, block_tokens: int) -> None:
        self._block_tokens = block_tokens
        self._kept: set[bytes] = set()

    def take(self, prompt: Tokens) -> int:
        """Tokens of the prompt that were there; from now on all of its whole blocks are."""
        chain = block_chain(prompt, self._block_tokens)
        usable = (len(prompt) - 1) // self._block_tokens
        found = 0
        while found < min(usable, len(chain)) and chain[found] in self._kept:
            found += 1
        self._kept.update(chain)
        return found * self._block_tokens


class BoundedBlockCache:
    """The same with an end: what was used longest ago goes first, of a chain its last block, as in vLLM."""

    def __init__(self, block_tokens: int, capacity_blocks: int) -> None:
        self._block_tokens, self._capacity_blocks = block_tokens, capacity_blocks
        self._kept: OrderedDict[bytes, None] = OrderedDict()

    def take(self, prompt: Tokens) -> int:
        """As `BlockCache.take`; what is beyond the capacity is gone."""
        chain = block_chain(prompt, self._block_tokens)
        usable = (len(prompt) - 1) // self._block_tokens
        found = 0
        while found < min(usable, len(chain)) and chain[found] in self._kept:
            found += 1
        for block in reversed(chain):
            self._kept[block] = None
            self._kept.move_to_end(block)
        while len(self._kept) > self._capacity_blocks:
            self._kept.popitem(last=False)
        return found * self._block_tokens

    def clear(self) -> None:
        self._kept.clear()


def block_chain(prompt: Tokens, block_tokens: int) -> list[bytes]:
    """Of the prompt's whole blocks."""
    links: list[bytes] = []
    for start in range(0, len(prompt) - block_tokens + 1, block_tokens):
        before = links[-1] if links else b""
        links.append(blake2b(before + prompt[start : start + block_tokens].tobytes(), digest_size=16).digest())
    return links
