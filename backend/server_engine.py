"""An engine that is a server of its own and speaks OpenAI's API: vLLM, SGLang, TensorRT-LLM, llama.cpp and others.

It is asked without LiteLLM, whose translation there and back takes 4 ms of a core and changes nothing of what such a
server understands. What must not differ from the other engines is kept: a thought that a whole answer begins with is
left out of it, and finish reasons are OpenAI's words.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any, Protocol

from backend.chat_body import chat_body
from backend.engine import Chunk, Completion, EngineConfig, Message, Sampling, SingleServer, Usage
from backend.errors import EngineError, EngineInterrupted, EngineMisconfigured, EngineTimeout
from backend.finish import whole
from backend.refusal import readable, refusal
from backend.reported import served_ttft_seconds, served_usage
from backend.retries import retried
from backend.server_connection import ServerConnection
from backend.server_events import events_of

_THOUGHT = re.compile(r"\A<(think|thinking)>.*?</\1>", re.DOTALL)
_FINISH = {"eos": "stop", "eos_token": "stop", "stop_sequence": "stop", "max_tokens": "length"}


class Counter(Protocol):
    """What counts a server's tokens; its methods are those of `Engine`."""

    async def count_tokens(self, messages: Sequence[Message]) -> int: ...

    async def token_ids(self, messages: Sequence[Message]) -> Sequence[int] | None: ...

    async def text_tokens(self, text: str) -> int: ...

    async def window_tokens(self) -> int | None: ...


class ServerEngine(SingleServer):
    """`Engine` over one connection. What it does not know of its tokens, `counter` says."""

    def __init__(self, config: EngineConfig, connection: ServerConnection, counter: Counter) -> None:
        self._config, self._connection, self._counter = config, connection, counter
        self._url = f"{connection.api_base}/chat/completions"

    @property
    def config(self) -> EngineConfig:
        return self._config

    async def complete(self, messages: Sequence[Message], sampling: Sampling, *, cache_salt: str | None) -> Completion:
        body = self._body(messages, sampling, cache_salt)
        # vLLM returns these counts in whole answers only.
        if self._config.lmcache and self._config.provider == "hosted_vllm":
            body["kv_transfer_params"] = {"cached_token_stats": True}
        answer = await retried(self._config, lambda: self._connection.json("POST", self._url, body))
        choice = _choice(answer)
        if choice is None:
            raise EngineInterrupted(self._config.name, "no choice in the answer")
        message = choice.get("message") or {}
        return Completion(
            text=_THOUGHT.sub("", message.get("content") or ""),
            finish_reason=self._whole(choice.get("finish_reason")),
            model=answer.get("model") or self._config.served_name,
            usage=served_usage(answer),
            ttft_seconds=served_ttft_seconds(answer),
        )

    async def stream(
        self, messages: Sequence[Message], sampling: Sampling, *, cache_salt: str | None
    ) -> AsyncGenerator[Chunk]:
        body = self._body(messages, sampling, cache_salt)
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        response = await retried(self._config, lambda: self._connection.begun("POST", self._url, body))
        usage: Usage | None = None
        reason: str | None = None
        started = False
        try:
            events = events_of(response.content.iter_any())
            while (event := await self._next(events, started=started)) is not None:
                usage = served_usage(event) or usage
                choice = _choice(event) or {}
                reason = choice.get("finish_reason") or reason
                text = (choice.get("delta") or {}).get("content")
                if text:
                    started = True
                    yield Chunk(text)
            yield Chunk("", finish_reason=self._whole(reason), usage=usage)
        finally:
            # Closes the connection unless all was read, which is how vLLM learns that nobody reads any more.
            response.close()

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        return await self._counter.count_tokens(messages)

    async def token_ids(self, messages: Sequence[Message]) -> Sequence[int] | None:
        return await self._counter.token_ids(messages)

    async def text_tokens(self, text: str) -> int:
        return await self._counter.text_tokens(text)

    async def window_tokens(self) -> int | None:
        if self._config.window_tokens is not None:
            return self._config.window_tokens
        return await self._counter.window_tokens()

    def _body(self, messages: Sequence[Message], sampling: Sampling, cache_salt: str | None) -> dict[str, Any]:
        if sampling.grammar is not None and not self._config.takes_grammar:
            raise EngineMisconfigured(self._config.name, "model", "is of a provider that takes no grammar")
        return chat_body(self._config, messages, sampling, cache_salt)

    def _whole(self, said: str | None) -> str:
        return whole(self._config.name, said, _FINISH.get(said, said) if said else None)

    async def _next(self, events: AsyncIterator[dict[str, Any]], *, started: bool) -> dict[str, Any] | None:
        """The next event, or `None` after the last. What fails once text has come is an interruption."""
        name, timeout_seconds = self._config.name, self._config.timeout_seconds
        try:
            with self._connection.mapped():
                async with asyncio.timeout(timeout_seconds):
                    event = await anext(events, None)
        except EngineTimeout as exc:
            if not started:
                raise
            raise EngineInterrupted(name, f"no token for {timeout_seconds:g} s") from exc
        except ValueError as exc:
            raise EngineInterrupted(name, "a part of it is not JSON") from exc
        if event is not None and (error := event.get("error")):
            raise self._failed(event, error, started=started)
        return event

    def _failed(self, event: dict[str, Any], error: Any, *, started: bool) -> EngineError:
        """Of an error that comes as an event, after the status said that all was well."""
        code = error.get("code") if isinstance(error, dict) else None
        if not started and isinstance(code, int) and code >= 400:
            return refusal(self._config, code, json.dumps(event), {})
        return EngineInterrupted(self._config.name, readable(json.dumps(event), self._config))


def _choice(answer: dict[str, Any]) -> dict[str, Any] | None:
    choices = answer.get("choices")
    return choices[0] if choices else None
