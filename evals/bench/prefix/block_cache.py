"""A prefix cache without an end: what any cache that keeps whole blocks could reuse of the prompts before.

A block counts by its own tokens and all before it, as in vLLM's hash chain. The last token of a prompt is always
computed, since the answer's first token comes out of it; so a block that ends with it is never a hit.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.uint32]


class BlockCache:
    """Answers are left out: what an engine keeps of those comes on top."""

    def __init__(self, block_tokens: int) -> None:
        self._block_tokens = block_tokens
        self._kept: set[bytes] = set()

    def take(self, prompt: Tokens) -> int:
        """Tokens of the prompt that were there; from now on all of its whole blocks are."""
        chain = self._chain(prompt)
        usable = (len(prompt) - 1) // self._block_tokens
        found = 0
        while found < min(usable, len(chain)) and chain[found] in self._kept:
            found += 1
        self._kept.update(chain)
        return found * self._block_tokens

    def _chain(self, prompt: Tokens) -> list[bytes]:
        links: list[bytes] = []
        size = self._block_tokens
        for start in range(0, len(prompt) - size + 1, size):
            before = links[-1] if links else b""
            links.append(blake2b(before + prompt[start : start + size].tobytes(), digest_size=16).digest())
        return links
