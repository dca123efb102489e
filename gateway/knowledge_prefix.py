"""How many of a prompt's first tokens are knowledge, exactly.

Where text ends in tokens, only the engine's tokenizer and chat template know. So the engine is asked, once for each
text, for a prompt of the knowledge and a stub of a question: as far as a prompt begins like that one, it is knowledge.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from backend.client import Engine, Message

KEPT_TEXTS = 256
STUB = "?"
ASK_SECONDS = 10.0
"""A tokenizer that takes longer is of an engine that has worse worries."""

Tokens = NDArray[np.uint32]
"""Token ids. As a list they take ten times as much, and hundreds of prompts may wait to be told of."""


def as_tokens(token_ids: Sequence[int] | Tokens) -> Tokens:
    return np.asarray(token_ids, dtype=np.uint32)


def knowledge_prompt(text: str) -> tuple[Message, ...]:
    """What stands for every prompt that begins with this knowledge."""
    return {"role": "system", "content": text}, {"role": "user", "content": STUB}


class KnowledgePrefixes:
    """Of one engine; the last `kept` texts. Thread-safe. Never to be called in an event loop: it runs one."""

    def __init__(self, engine: Engine, kept: int = KEPT_TEXTS) -> None:
        self._engine, self._kept, self._lock = engine, kept, threading.Lock()
        self._tokens: OrderedDict[bytes, Tokens] = OrderedDict()

    def tokens(self, text: str) -> Tokens | None:
        """Of `knowledge_prompt(text)`; `None` where the engine does not tell. Raises `EngineError`, `TimeoutError`."""
        key = sha256(text.encode()).digest()
        with self._lock:
            if (known := self._tokens.get(key)) is not None:
                self._tokens.move_to_end(key)
                return known
        asked = asyncio.run(self._ask(text))
        if asked is None:
            return None
        found = as_tokens(asked)
        with self._lock:
            self._tokens[key] = found
            while len(self._tokens) > self._kept:
                self._tokens.popitem(last=False)
        return found

    def length_in(self, token_ids: Tokens, text: str) -> int:
        """How many of the first tokens of a prompt that begins with `text` are of it. Raises as `tokens` does."""
        prefix = self.tokens(text)
        if prefix is None:
            return 0
        length = min(len(prefix), len(token_ids))
        differs = np.flatnonzero(prefix[:length] != token_ids[:length])
        return int(differs[0]) if differs.size else length

    async def _ask(self, text: str) -> Sequence[int] | None:
        async with asyncio.timeout(ASK_SECONDS):
            return await self._engine.token_ids(knowledge_prompt(text))
