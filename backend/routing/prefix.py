"""What a prompt begins with, in a form that is cheap to compare: a chain of hashes over blocks of its text.

Text and not tokens: its tokens are known to the engine alone, and asking would cost a call before each choice. Two
prompts share the blocks that they would share as tokens, but for the place of the cuts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from backend.engine import Message

BLOCK_BYTES = 256
"""Some 64 tokens: a few of vLLM's blocks, a fourth of LMCache's chunk."""
_HASH_BYTES = 8


@dataclass(frozen=True, slots=True)
class Prefix:
    """`blocks` are of whole blocks alone; each stands for its own text, all text before it, and the cache salt.

    `beginning` stands for the conversation: for its messages up to the first question, which no later turn changes.
    """

    blocks: tuple[int, ...]
    beginning: bytes


def prefix_of(messages: Sequence[Message], cache_salt: str | None) -> Prefix:
    """With another salt nothing is shared: what one tenant's prompts left is no other tenant's to find."""
    chain = blake2b(repr(cache_salt).encode(), digest_size=_HASH_BYTES)
    beginning = chain.copy()
    for message in messages:
        beginning.update(_text(message))
        if message["role"] == "user":
            break
    text = b"".join(_text(message) for message in messages)
    blocks: list[int] = []
    for end in range(BLOCK_BYTES, len(text) + 1, BLOCK_BYTES):
        chain.update(text[end - BLOCK_BYTES : end])
        blocks.append(int.from_bytes(chain.copy().digest()))
    return Prefix(tuple(blocks), beginning.digest())


def _text(message: Message) -> bytes:
    return f"<{message['role']}>{message['content']}".encode("utf-8", "surrogatepass")
