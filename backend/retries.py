"""When a call to an engine is worth another try: nothing of its answer has come, and the engine may be back soon."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from backend.engine import EngineConfig
from backend.errors import BackendError, ContextTooLong, EngineInterrupted, EngineRefused, EngineUnreachable

T = TypeVar("T")

_FIRST_RETRY_SECONDS = 0.25
_LONGEST_WAIT_SECONDS = 5.0


async def retried(config: EngineConfig, call: Callable[[], Awaitable[T]]) -> T:
    """What `call` gives, tried again as often as `config.retries` says where that can help."""
    attempt = 0
    while True:
        try:
            return await call()
        except (EngineUnreachable, EngineInterrupted, EngineRefused) as exc:
            wait_seconds = _wait_seconds(exc, attempt)
            if attempt >= config.retries or wait_seconds is None:
                raise
        await asyncio.sleep(wait_seconds)
        attempt += 1


def _wait_seconds(exc: BackendError, attempt: int) -> float | None:
    """Seconds until a new try, or `None` where one would not help."""
    if isinstance(exc, ContextTooLong):
        return None
    if isinstance(exc, EngineRefused):
        if exc.status != 429 and exc.status < 500:
            return None
        if exc.retry_after_seconds is not None:
            return exc.retry_after_seconds if exc.retry_after_seconds <= _LONGEST_WAIT_SECONDS else None
    wait: float = _FIRST_RETRY_SECONDS * 2**attempt
    return min(wait, _LONGEST_WAIT_SECONDS)
