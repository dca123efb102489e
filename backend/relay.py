"""Hands a request to a server that speaks OpenAI's API, and its answer back, byte for byte.

For requests that name an engine itself: nothing of the answer is needed here but its token counts, so LiteLLM's
translation, which takes most of the time of such a request, is left out. Kvasir's own questions go through
`backend.client`. aiohttp, because it takes a third of the time of httpx.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from backend.engine import EngineConfig, Message, Sampling, Usage
from backend.errors import EngineInterrupted, EngineRefused, EngineTimeout, EngineUnreachable
from backend.retries import retried

OPENAI_WIRE = ("hosted_vllm", "openai")
"""Providers whose wire is OpenAI's."""
_CLIENTS_FAULT = (400, 413, 422)
_MESSAGE_CHARS = 600
_END = b"data: [DONE]"
_CONNECT_SECONDS = 10.0


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


def speaks_openai(config: EngineConfig) -> bool:
    """Whether the engine is a server of its own whose wire is OpenAI's."""
    return config.provider in OPENAI_WIRE and config.api_base is not None


class Relay:
    """To one engine that `speaks_openai`, for one event loop. Keeps its connections until `close`."""

    def __init__(self, config: EngineConfig) -> None:
        assert config.api_base is not None, "a relay needs an address"
        self._config = config
        self._url = f"{config.api_base.rstrip('/')}/chat/completions"
        self._session: aiohttp.ClientSession | None = None

    async def complete(self, messages: Sequence[Message], sampling: Sampling, *, cache_salt: str) -> Relayed:
        """Raises `EngineUnreachable`, `EngineTimeout`, `EngineInterrupted`, `EngineRefused`."""
        return await retried(self._config, lambda: self._whole(self._body(messages, sampling, cache_salt)))

    async def stream(
        self, messages: Sequence[Message], sampling: Sampling, *, cache_salt: str, include_usage: bool
    ) -> AsyncGenerator[RelayedPart | Relayed]:
        """Parts until the server's end mark, or one `Relayed` where the request is wrong. Raises as `complete`."""
        body = self._body(messages, sampling, cache_salt) | {"stream": True}
        if include_usage:
            body["stream_options"] = {"include_usage": True}
        async with self._mapped(), self._posted(body) as response:
            if response.status >= 400:
                yield await self._relayed(response)
                return
            tail = b""
            async for piece in response.content.iter_any():
                tail = (tail + piece)[-2048:]
                yield RelayedPart(piece, _streamed_usage(piece) if include_usage else None)
            if _END not in tail:
                raise EngineInterrupted(self._config.name, "it ended without an end mark")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _whole(self, body: dict[str, Any]) -> Relayed:
        async with self._mapped(), asyncio.timeout(self._config.timeout_seconds), self._posted(body) as response:
            return await self._relayed(response)

    async def _relayed(self, response: aiohttp.ClientResponse) -> Relayed:
        body = await response.read()
        if response.status >= 400 and response.status not in _CLIENTS_FAULT:
            message = " ".join(body.decode("utf-8", "replace").split())[:_MESSAGE_CHARS]
            if self._config.api_key:
                message = message.replace(self._config.api_key, "***")
            raise EngineRefused(
                self._config.name, response.status, message, retry_after_seconds=_retry_after_seconds(response)
            )
        return Relayed(response.status, body, _usage_in(body) if response.status < 400 else None)

    def _posted(self, body: dict[str, Any]) -> Any:
        if self._session is None:
            # Made here, since it belongs to the event loop that it is made in. A wait is for the next piece.
            timeout = aiohttp.ClientTimeout(
                total=None, sock_connect=_CONNECT_SECONDS, sock_read=self._config.timeout_seconds
            )
            key = self._config.api_key
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), timeout=timeout, headers=headers, auto_decompress=True
            )
        return self._session.post(self._url, json=body)

    def _body(self, messages: Sequence[Message], sampling: Sampling, cache_salt: str) -> dict[str, Any]:
        config = self._config
        wanted = {
            "max_tokens": config.max_output_tokens if sampling.max_tokens is None else sampling.max_tokens,
            "temperature": config.temperature if sampling.temperature is None else sampling.temperature,
            "top_p": sampling.top_p,
            "seed": sampling.seed,
            "stop": list(sampling.stop) or None,
            "presence_penalty": sampling.presence_penalty,
            "frequency_penalty": sampling.frequency_penalty,
            # Only vLLM knows it.
            "cache_salt": cache_salt if config.provider == "hosted_vllm" else None,
        }
        given = {key: value for key, value in wanted.items() if value is not None}
        return {"model": config.served_name, "messages": list(messages), **given}

    @asynccontextmanager
    async def _mapped(self) -> AsyncIterator[None]:
        name = self._config.name
        try:
            yield
        except aiohttp.ClientConnectorError as exc:
            raise EngineUnreachable(name, self._config.api_base) from exc
        except TimeoutError as exc:
            raise EngineTimeout(name, self._config.timeout_seconds) from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise EngineInterrupted(name, "the connection was closed") from exc


def _retry_after_seconds(response: aiohttp.ClientResponse) -> float | None:
    try:
        return max(0.0, float(response.headers.get("retry-after", "")))
    except ValueError:  # absent, or the date form, which no known engine sends
        return None


def _usage_in(body: bytes) -> Usage | None:
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    usage = answer.get("usage") if isinstance(answer, dict) else None
    if not isinstance(usage, dict) or not isinstance(usage.get("prompt_tokens"), int):
        return None
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    return Usage(usage["prompt_tokens"], usage.get("completion_tokens") or 0, cached)


def _streamed_usage(piece: bytes) -> Usage | None:
    """Of a piece that holds the whole event with the counts, as servers send it: in one write, or with the end."""
    if b'"usage"' not in piece:
        return None
    found = [_usage_in(line[6:]) for line in piece.splitlines() if line.startswith(b"data: {")]
    return next((usage for usage in reversed(found) if usage is not None), None)
