"""Tokens of an item's block, counted by the engine that will read it.

An item's text depends on the item alone, so each version is counted once for as long as the gateway runs; only the
first question that retrieves it waits for the engine.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from backend.client import Engine
from gateway.prompt import block
from kb.hit import Hit

KEPT = 100_000
"""Counts that are kept, some hundred bytes each."""


class ItemTokens:
    """Of one engine. Safe to call from several threads, with or without an event loop of their own."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._counts = engine, dict[str, int]()
        self._lock = threading.Lock()

    def of(self, hit: Hit) -> int:
        """Raises from the `EngineError` branch of `backend.errors`."""
        counted = self._counts.get(hit.item_hash)
        if counted is None:
            # The engine is asked in a loop of its own: whoever prepares a prompt may be inside of another.
            with ThreadPoolExecutor(1) as beside:
                counted = beside.submit(asyncio.run, self._engine.text_tokens(block(hit.item))).result()
            with self._lock:
                if len(self._counts) >= KEPT:
                    self._counts.clear()
                self._counts[hit.item_hash] = counted
        return counted
