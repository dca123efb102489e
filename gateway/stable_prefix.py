"""Tokens of stable prefixes: of the text that every conversation of an assistant at one commit begins with.

It changes with a commit or an assistant's instructions alone, so each text is counted once by the engine's tokenizer.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict

from backend.client import Engine
from backend.errors import BackendError
from gateway.knowledge_prefix import knowledge_prompt

KEPT_COUNTS = 1024


class StablePrefixes:
    """Counts that were made before, by engine and text; any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: OrderedDict[tuple[str, bytes], int] = OrderedDict()

    async def tokens(self, engine: Engine, text: str) -> int | None:
        """Tokens of `text` in a system message, without the chat template's; `None` where the engine cannot count."""
        try:
            whole, template = await self._count(engine, text), await self._count(engine, "")
        except BackendError:
            return None
        return whole - template

    async def _count(self, engine: Engine, text: str) -> int:
        key = engine.config.name, hashlib.sha256(text.encode()).digest()
        with self._lock:
            if key in self._counts:
                self._counts.move_to_end(key)
                return self._counts[key]
        counted = await engine.count_tokens(knowledge_prompt(text))
        with self._lock:
            self._counts[key] = counted
            if len(self._counts) > KEPT_COUNTS:
                self._counts.popitem(last=False)
        return counted
