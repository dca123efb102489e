"""A scripted model server with a prefix cache, as vLLM's looks over HTTP: for tests of what asks several of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from zlib import crc32

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import StreamingResponse

BLOCK_WORDS = 16
WINDOW_TOKENS = 100_000


class ScriptedServer:
    """Says `text`, in pieces of a word, each after `piece_seconds`. A word is a token. `app` is to be served.

    Whole blocks of 16 words of a prompt are cached, by salt, without an end. With a `status`, prompts are refused.
    `asked` are the bodies of the prompts that it got.
    """

    def __init__(self, model: str = "scripted", text: str = "SELECT 1") -> None:
        self.model, self.text = model, text
        self.piece_seconds = 0.0
        self.status: int | None = None
        self.asked: list[dict[str, Any]] = []
        self._cached: set[tuple[str, ...]] = set()
        self.app = FastAPI()
        self.app.add_api_route("/v1/chat/completions", self._complete, methods=["POST"])
        self.app.add_api_route("/v1/models", self._models, methods=["GET"])
        self.app.add_api_route("/tokenize", self._tokenize, methods=["POST"])

    async def _models(self) -> dict[str, Any]:
        return {"data": [{"id": self.model, "max_model_len": WINDOW_TOKENS}]}

    async def _tokenize(self, request: Request) -> dict[str, Any]:
        body = await request.json()
        words = body["prompt"].split() if "prompt" in body else _words(body["messages"])
        return {"count": len(words), "tokens": [crc32(word.encode()) for word in words]}

    async def _complete(self, request: Request) -> Response:
        body = await request.json()
        self.asked.append(body)
        if self.status is not None:
            raise HTTPException(self.status, "as scripted")
        usage = self._usage(body)
        if body.get("stream"):
            return StreamingResponse(self._events(usage), media_type="text/event-stream")
        message = {"role": "assistant", "content": self.text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        answer = {**self._head("chat.completion"), "choices": [choice], "usage": usage}
        return Response(json.dumps(answer), media_type="application/json")

    def _usage(self, body: dict[str, Any]) -> dict[str, Any]:
        words, salt = _words(body["messages"]), str(body.get("cache_salt"))
        chain = [(salt, *words[:end]) for end in range(BLOCK_WORDS, len(words) + 1, BLOCK_WORDS)]
        cached = BLOCK_WORDS * sum(block in self._cached for block in chain)
        self._cached.update(chain)
        written = len(self.text.split())
        return {
            "prompt_tokens": len(words),
            "completion_tokens": written,
            "total_tokens": len(words) + written,
            "prompt_tokens_details": {"cached_tokens": cached},
        }

    async def _events(self, usage: dict[str, Any]) -> AsyncIterator[str]:
        for word in self.text.split():
            yield self._event({"content": f"{word} "})
            await asyncio.sleep(self.piece_seconds)
        yield self._event({}, "stop", usage=usage)
        yield "data: [DONE]\n\n"

    def _event(self, delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return f"data: {json.dumps({**self._head('chat.completion.chunk'), 'choices': [choice], **more})}\n\n"

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": "chatcmpl-scripted", "object": kind, "created": 1, "model": self.model}


def _words(messages: list[dict[str, Any]]) -> list[str]:
    return [word for message in messages for word in message["content"].split()]
