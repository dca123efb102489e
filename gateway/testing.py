"""A scripted engine and a scripted cache, for tests of what stands around them. Settings never configure the engine."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from fastapi import FastAPI, Request, Response

from backend.client import Chunk, Completion, EngineConfig, Message, Sampling, SingleServer, Usage


@dataclass(frozen=True, slots=True)
class Call:
    """One call that the engine got."""

    messages: tuple[Message, ...]
    sampling: Sampling
    cache_salt: str | None


class Cut(str):
    """A scripted answer that ends at its limit of tokens."""

    __slots__ = ()


class ScriptedEngine(SingleServer):
    """Gives the answers that were enqueued, in order; an enqueued exception is raised. A word is a token.

    `enqueue_stream` scripts the pieces of a streamed answer; an exception among them breaks it there.
    """

    def __init__(self, *, name: str = "scripted", window_tokens: int | None = 100_000) -> None:
        self.config = EngineConfig(name=name, model="scripted/engine", window_tokens=window_tokens)
        self.calls: list[Call] = []
        self._script: deque[str | Exception | Sequence[str | Exception]] = deque()

    def enqueue(self, *answers: str | Exception) -> None:
        self._script.extend(answers)

    def enqueue_stream(self, *pieces: str | Exception) -> None:
        self._script.append(pieces)

    async def complete(self, messages: Sequence[Message], sampling: Sampling, *, cache_salt: str | None) -> Completion:
        reason = "length" if self._script and isinstance(self._script[0], Cut) else "stop"
        pieces = [piece async for piece in self._pieces(messages, sampling, cache_salt)]
        text = "".join(pieces)
        return Completion(text, reason, self.config.model, await self._usage(messages, text), None)

    async def stream(
        self, messages: Sequence[Message], sampling: Sampling, *, cache_salt: str | None
    ) -> AsyncGenerator[Chunk]:
        text = ""
        async for piece in self._pieces(messages, sampling, cache_salt):
            text += piece
            yield Chunk(piece)
        yield Chunk("", finish_reason="stop", usage=await self._usage(messages, text))

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        return len(await self.token_ids(messages))

    async def token_ids(self, messages: Sequence[Message]) -> list[int]:
        return [crc32(word.encode()) for message in messages for word in message["content"].split()]

    async def text_tokens(self, text: str) -> int:
        return len(text.split())

    async def window_tokens(self) -> int | None:
        return self.config.window_tokens

    async def _pieces(
        self, messages: Sequence[Message], sampling: Sampling, cache_salt: str | None
    ) -> AsyncIterator[str]:
        self.calls.append(Call(tuple(messages), sampling, cache_salt))
        assert self._script, "the engine was called more often than its script has answers"
        scripted = self._script.popleft()
        for piece in [scripted] if isinstance(scripted, (str, Exception)) else scripted:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def _usage(self, messages: Sequence[Message], text: str) -> Usage:
        return Usage(await self.count_tokens(messages), len(text.split()), cached_tokens=0)


@dataclass(frozen=True, slots=True)
class Told:
    """One call that the cache got: what stood behind `/kvasir/`, and its body."""

    method: str
    path: str
    body: dict[str, Any]


class ScriptedCache:
    """Takes what a cache is told and does nothing with it. `app` is to be served; it answers with `status`."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.status = 202
        self.app = FastAPI()
        self.app.add_api_route("/kvasir/{path:path}", self._take, methods=["POST", "DELETE"])

    def of(self, path: str) -> list[Told]:
        """What was told under a path that begins so, in order."""
        return [one for one in self.told if one.path.startswith(path)]

    async def _take(self, path: str, request: Request) -> Response:
        body = await request.json() if await request.body() else {}
        self.told.append(Told(request.method, path, body))
        return Response("{}", self.status, media_type="application/json")
