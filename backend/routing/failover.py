"""Asks the replica that is chosen, and another where it fails before a word of the answer came."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

from backend.engine import EngineConfig
from backend.errors import BackendError, EngineTimeout
from backend.retries import retried
from backend.routing.prefix import Prefix
from backend.routing.replicas import Replicas, is_replicas_fault

T = TypeVar("T")


class Failover:
    """Over the replicas of one engine. All of them are tried once, then again as often as `retries` says.

    Raises what the last of them raised. A request that timed out is not tried elsewhere: it took its time already.
    """

    def __init__(self, config: EngineConfig, replicas: Replicas) -> None:
        self._config, self._replicas = config, replicas

    async def whole(
        self, prefix: Prefix, call: Callable[[str], Awaitable[T]], *, leaves_kv: bool = True
    ) -> tuple[str, T]:
        """The name of a replica, and what `call` gave for it."""

        async def ask(name: str) -> tuple[str, T]:
            with self._replicas.asking(name, prefix if leaves_kv else None):
                return name, await call(name)

        return await self._anywhere(prefix, ask)

    async def stream(self, prefix: Prefix, call: Callable[[str], AsyncGenerator[T]]) -> AsyncGenerator[tuple[str, T]]:
        """The name of a replica with each part of what `call` gives for it. Once one came, it is that replica's to
        end."""

        async def begin(name: str) -> tuple[str, T, AsyncGenerator[T]]:
            parts = self._watched(name, prefix, call)
            return name, await anext(parts), parts

        name, first, rest = await self._anywhere(prefix, begin)
        try:
            yield name, first
            async for part in rest:
                yield name, part
        finally:
            await rest.aclose()

    async def _watched(self, name: str, prefix: Prefix, call: Callable[[str], AsyncGenerator[T]]) -> AsyncGenerator[T]:
        with self._replicas.asking(name, prefix):
            parts = call(name)
            try:
                async for part in parts:
                    yield part
            finally:
                await parts.aclose()

    async def _anywhere(self, prefix: Prefix, ask: Callable[[str], Awaitable[T]]) -> T:
        return await retried(self._config, lambda: self._each_once(prefix, ask))

    async def _each_once(self, prefix: Prefix, ask: Callable[[str], Awaitable[T]]) -> T:
        tried: set[str] = set()
        while True:
            name = self._replicas.choose(prefix, without=tried)
            tried.add(name)
            try:
                return await ask(name)
            except BackendError as exc:
                if not is_replicas_fault(exc) or isinstance(exc, EngineTimeout) or len(tried) == len(self._replicas):
                    raise
