"""Hands a request to a server that speaks OpenAI's API, and its answer back, byte for byte.

For requests that name an engine itself: nothing of the answer is needed here but its token counts.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from backend.chat_body import chat_body
from backend.engine import EngineConfig, Message, Sampling, Usage
from backend.errors import EngineInterrupted
from backend.reported import served_usage
from backend.retries import retried
from backend.server_connection import ServerConnection

_CLIENTS_FAULT = (400, 413, 422)
_END = b"data: [DONE]"


@dataclass(frozen=True, slots=True)
class Relayed:
    """A whole answer: the server's status, its body, and its token counts where it gave them.

    A status over 399 says what was wrong with the request.
    """

    status: int
    body: bytes
    usage: Usage | None


@dataclass(frozen=True, slots=True)
class RelayedPart:
    """Bytes of a streamed answer, as they came. `usage` is in one part at most, and only where it was asked for."""

    body: bytes
    usage: Usage | None = None


class Relay:
    """To one engine that speaks OpenAI's API. Raises what the connection raises."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._connection = ServerConnection(config)
        self._url = f"{self._connection.api_base}/chat/completions"

    async def complete(self, messages: Sequence[Message], sampling: Sampling, *, cache_salt: str) -> Relayed:
        body = chat_body(self._config, messages, sampling, cache_salt)
        return await retried(self._config, lambda: self._whole(body))

    async def stream(
        self, messages: Sequence[Message], sampling: Sampling, *, cache_salt: str, include_usage: bool
    ) -> AsyncGenerator[RelayedPart | Relayed]:
        """Parts until the server's end mark, or one `Relayed` where the request is wrong."""
        body = chat_body(self._config, messages, sampling, cache_salt) | {"stream": True}
        if include_usage:
            body["stream_options"] = {"include_usage": True}
        response = await self._connection.head("POST", self._url, body)
        try:
            if response.status >= 400:
                yield await self._relayed(response)
                return
            tail = b""
            with self._connection.mapped():
                async for piece in response.content.iter_any():
                    tail = (tail + piece)[-2048:]
                    yield RelayedPart(piece, _streamed_usage(piece) if include_usage else None)
            if _END not in tail:
                raise EngineInterrupted(self._config.name, "it ended without an end mark")
        finally:
            response.close()

    async def _whole(self, body: dict[str, Any]) -> Relayed:
        with self._connection.mapped():
            async with asyncio.timeout(self._config.timeout_seconds):
                response = await self._connection.head("POST", self._url, body)
                try:
                    return await self._relayed(response)
                finally:
                    response.close()

    async def _relayed(self, response: aiohttp.ClientResponse) -> Relayed:
        if response.status >= 400 and response.status not in _CLIENTS_FAULT:
            raise await self._connection.refused(response)
        with self._connection.mapped():
            body = await response.read()
        return Relayed(response.status, body, _usage_in(body) if response.status < 400 else None)


def _usage_in(body: bytes) -> Usage | None:
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    return served_usage(answer) if isinstance(answer, dict) else None


def _streamed_usage(piece: bytes) -> Usage | None:
    """Of a piece that holds the whole event with the counts, as servers send it: in one write, or with the end."""
    if b'"usage"' not in piece:
        return None
    found = [_usage_in(line[6:]) for line in piece.splitlines() if line.startswith(b"data: {")]
    return next((usage for usage in reversed(found) if usage is not None), None)
