"""A relay to an engine of several servers, by the same choice as its other requests."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from backend.engine import Engine, Message, Sampling, replica_name
from backend.relay import Relay, Relayed, RelayedPart
from backend.routing.failover import Failover
from backend.routing.prefix import prefix_of
from backend.routing.routed_engine import RoutedEngine
from backend.server_connection import speaks_openai


class RoutedRelay:
    """Like a `Relay`, over the replicas of `engine`. For one event loop."""

    def __init__(self, engine: RoutedEngine) -> None:
        config, self._routing = engine.config, engine.routing
        self._relays = {
            replica_name(address): Relay(replace(config, api_base=address, replicas=(), retries=0))
            for address in config.replicas
        }
        self._failover = Failover(config, self._routing)

    async def complete(self, messages: Sequence[Message], sampling: Sampling, *, cache_salt: str) -> Relayed:
        """Raises what `Relay.complete` raises."""

        async def ask(name: str) -> Relayed:
            return await self._relays[name].complete(messages, sampling, cache_salt=cache_salt)

        name, relayed = await self._failover.whole(prefix_of(messages, cache_salt), ask)
        self._routing.count(name, relayed.usage)
        return relayed

    async def stream(
        self, messages: Sequence[Message], sampling: Sampling, *, cache_salt: str, include_usage: bool
    ) -> AsyncGenerator[RelayedPart | Relayed]:
        """What `Relay.stream` gives and raises."""

        def ask(name: str) -> AsyncGenerator[RelayedPart | Relayed]:
            return self._relays[name].stream(messages, sampling, cache_salt=cache_salt, include_usage=include_usage)

        parts = self._failover.stream(prefix_of(messages, cache_salt), ask)
        try:
            async for name, part in parts:
                self._routing.count(name, part.usage)
                yield part
        finally:
            await parts.aclose()


AnyRelay = Relay | RoutedRelay


def relay_to(engine: Engine) -> AnyRelay | None:
    """A relay to the engine; `None` where it does not speak OpenAI's API."""
    if isinstance(engine, RoutedEngine):
        first = replace(engine.config, api_base=engine.config.replicas[0])
        return RoutedRelay(engine) if speaks_openai(first) else None
    return Relay(engine.config) if speaks_openai(engine.config) else None
