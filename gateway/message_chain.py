"""The hash chain of a conversation's messages: who sends the same messages back sends the same chain.

Hashes are keyed with a secret of the state database and with whose conversation it is, so that nobody can tell from
stored hashes what was said, and no two tenants, assistants, bases or users ever share one. White space does not count:
clients trim and reflow what they send back. The client's system text does not count either: nothing that is placed
depends on it, and clients put the time of day into it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from backend.engine import Message
from kb.codec import canonical_json

_DIGEST_CHARACTERS = 16


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose conversation it is. `base` is the assistant's knowledge base, `user` who asks, in the client's words."""

    tenant: str
    assistant: str
    base: str
    user: str = ""

    def key(self, secret: bytes) -> bytes:
        named = canonical_json([self.tenant, self.assistant, self.base, self.user])
        return hashlib.blake2b(named, key=secret, digest_size=32, person=b"kvasir scope").digest()


@dataclass(frozen=True)
class MessageChain:
    """`digests[i]` is of message `i` alone, `links[i]` of all messages up to it."""

    key: bytes
    messages: tuple[Message, ...]

    @cached_property
    def digests(self) -> tuple[str, ...]:
        return tuple(digest.hex()[:_DIGEST_CHARACTERS] for digest in self._digests)

    @cached_property
    def links(self) -> tuple[str, ...]:
        links, state = [], b""
        for digest in self._digests:
            state = self._hash(b"kvasir link", state + digest)
            links.append(state.hex())
        return tuple(links)

    @property
    def tail(self) -> str | None:
        """Of a question and its answer, where they come last: what is left of a chain that lost its beginning."""
        if [message["role"] for message in self.messages[-2:]] != ["user", "assistant"]:
            return None
        return self._hash(b"kvasir tail", b"".join(self._digests[-2:])).hex()

    @cached_property
    def _digests(self) -> tuple[bytes, ...]:
        return tuple(self._hash(b"kvasir message", _normal(message)) for message in self.messages)

    def _hash(self, purpose: bytes, content: bytes) -> bytes:
        return hashlib.blake2b(content, key=self.key, digest_size=32, person=purpose).digest()


def common_prefix(left: Sequence[str], right: Sequence[str]) -> int:
    """How many elements both begin with."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(left), len(right)))


def _normal(message: Message) -> bytes:
    return canonical_json([message["role"], " ".join(message["content"].split())])
