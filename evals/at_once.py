"""Several answers at a time, told in order: an engine that serves many requests is not asked one after the other."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")
AT_ONCE = 16


async def in_order(work: Iterable[Callable[[], Coroutine[Any, Any, T]]], at_once: int = AT_ONCE) -> AsyncGenerator[T]:
    """The results in the order of `work`, of which at most `at_once` are under way. What one raises ends the others.

    What is done but not told yet does not count: where few of many ask the engine, still `at_once` of those do.
    """
    starts = iter(work)
    untold: deque[asyncio.Task[T]] = deque()
    under_way: set[asyncio.Task[T]] = set()
    try:
        while True:
            while len(under_way) < at_once and (start := next(starts, None)) is not None:
                task = asyncio.create_task(start())
                untold.append(task)
                under_way.add(task)
            if not untold:
                return
            if under_way:
                _, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            while untold and untold[0].done():
                yield untold.popleft().result()
    finally:
        for task in untold:
            task.cancel()
