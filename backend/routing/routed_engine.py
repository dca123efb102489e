"""An engine of several servers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from backend.engine import Chunk, Completion, Engine, EngineConfig, Message, Sampling, SingleServer
from backend.routing.failover import Failover
from backend.routing.prefix import prefix_of
from backend.routing.replicas import Replicas

T = TypeVar("T")


class RoutedEngine:
    """`Engine` over `servers`, by the names of their replicas: one model under one name, each with its own KV cache.

    Their own `retries` must be 0: those of `config` are counted here, over all of them.
    """

    def __init__(self, config: EngineConfig, servers: Mapping[str, Engine]) -> None:
        self._config, self._servers = config, servers
        self.routing = Replicas(config.name, tuple(servers), outlived=config.lmcache)
        self._failover = Failover(config, self.routing)

    @property
    def config(self) -> EngineConfig:
        return self._config

    @property
    def servers(self) -> Sequence[Engine]:
        return [_Server(name, self._servers[name], self.routing) for name in self.routing.there()]

    def replica_for(self, messages: Sequence[Message], *, cache_salt: str | None) -> str | None:
        return self.routing.choose(prefix_of(messages, cache_salt))

    async def complete(self, messages: Sequence[Message], sampling: Sampling, *, cache_salt: str | None) -> Completion:
        async def ask(name: str) -> Completion:
            return await self._servers[name].complete(messages, sampling, cache_salt=cache_salt)

        name, completion = await self._failover.whole(prefix_of(messages, cache_salt), ask)
        return _told(self.routing, name, completion)

    async def stream(
        self, messages: Sequence[Message], sampling: Sampling, *, cache_salt: str | None
    ) -> AsyncGenerator[Chunk]:
        def ask(name: str) -> AsyncGenerator[Chunk]:
            return self._servers[name].stream(messages, sampling, cache_salt=cache_salt)

        chunks = self._failover.stream(prefix_of(messages, cache_salt), ask)
        try:
            async for name, chunk in chunks:
                yield _told(self.routing, name, chunk)
        finally:
            await chunks.aclose()

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        return await self._any(messages, lambda server: server.count_tokens(messages))

    async def token_ids(self, messages: Sequence[Message]) -> Sequence[int] | None:
        return await self._any(messages, lambda server: server.token_ids(messages))

    async def text_tokens(self, text: str) -> int:
        return await self._any([{"role": "user", "content": text}], lambda server: server.text_tokens(text))

    async def window_tokens(self) -> int | None:
        if self._config.window_tokens is not None:
            return self._config.window_tokens
        return await self._any((), lambda server: server.window_tokens())

    async def _any(self, messages: Sequence[Message], ask: Callable[[Engine], Awaitable[T]]) -> T:
        """What every replica says alike; of those that are there, the one that the messages would go to is asked."""
        _, said = await self._failover.whole(
            prefix_of(messages, None), lambda name: ask(self._servers[name]), leaves_kv=False
        )
        return said


class _Server(SingleServer):
    """One replica, asked by itself; the others' choices know of it."""

    def __init__(self, name: str, server: Engine, routing: Replicas) -> None:
        self._name, self._server, self._routing = name, server, routing

    @property
    def config(self) -> EngineConfig:
        return self._server.config

    async def complete(self, messages: Sequence[Message], sampling: Sampling, *, cache_salt: str | None) -> Completion:
        with self._routing.asking(self._name, prefix_of(messages, cache_salt)):
            completion = await self._server.complete(messages, sampling, cache_salt=cache_salt)
        return _told(self._routing, self._name, completion)

    async def stream(
        self, messages: Sequence[Message], sampling: Sampling, *, cache_salt: str | None
    ) -> AsyncGenerator[Chunk]:
        chunks = self._server.stream(messages, sampling, cache_salt=cache_salt)
        try:
            with self._routing.asking(self._name, prefix_of(messages, cache_salt)):
                async for chunk in chunks:
                    yield _told(self._routing, self._name, chunk)
        finally:
            await chunks.aclose()

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        return await self._server.count_tokens(messages)

    async def token_ids(self, messages: Sequence[Message]) -> Sequence[int] | None:
        return await self._server.token_ids(messages)

    async def text_tokens(self, text: str) -> int:
        return await self._server.text_tokens(text)

    async def window_tokens(self) -> int | None:
        return await self._server.window_tokens()


Said = TypeVar("Said", Completion, Chunk)


def _told(routing: Replicas, name: str, said: Said) -> Said:
    """With who said it; its tokens are counted."""
    routing.count(name, said.usage)
    return replace(said, replica=name)
