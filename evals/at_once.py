"""Several answers at a time, told in order: an engine that serves many requests is not asked one after the other."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")
AT_ONCE = 16


async def in_order(work: Iterable[Callable[[], Coroutine[Any, Any, T]]], at_once: int = AT_ONCE) -> AsyncGenerator[T]:
    """The results in the order of `work`, of which at most `at_once` are under way. What one raises ends the others."""
    waiting: deque[asyncio.Task[T]] = deque()
    try:
        for start in work:
            if len(waiting) == at_once:
                yield await waiting[0]
                waiting.popleft()
            waiting.append(asyncio.create_task(start()))
        while waiting:
            yield await waiting[0]
            waiting.popleft()
    finally:
        for task in waiting:
            task.cancel()
