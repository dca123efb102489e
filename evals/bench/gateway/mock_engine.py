"""An engine that takes 20 ms: `python -m evals.bench.gateway.mock_engine PORT`, an ASGI application.

It answers any chat request of OpenAI's API with the same text, after `WAIT_SECONDS`; a stream's first chunk comes then,
the rest at once.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn

MODEL = "mock"
WAIT_SECONDS = 0.02
KEEP_ALIVE_SECONDS = 60
WORDS = ("SELECT ", "count(*) ", "FROM ", "orders ", "WHERE ", "state ", "= ", "'paid'")
TEXT = "".join(WORDS)

_USAGE = {"prompt_tokens": 20, "completion_tokens": len(WORDS), "total_tokens": 20 + len(WORDS)}
_HEAD = {"id": "chatcmpl-mock", "created": 1, "model": MODEL}

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class MockEngine:
    """`prepare`, where given, gets the request's body before the engine's time begins."""

    def __init__(self, prepare: Callable[[dict[str, Any]], Awaitable[None]] | None = None) -> None:
        self._prepare = prepare

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = await _body(receive)
        if scope["method"] != "POST":  # whether it is ready
            await _send(send, "application/json", [b"{}"])
            return
        asked = json.loads(body)
        if self._prepare is not None:
            await self._prepare(asked)
        await asyncio.sleep(WAIT_SECONDS)
        if asked.get("stream"):
            await _send(send, "text/event-stream", _STREAM)
        else:
            await _send(send, "application/json", [_WHOLE])


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _send(send: Send, content_type: str, parts: list[bytes]) -> None:
    headers = [(b"content-type", content_type.encode())]
    if len(parts) == 1:
        headers.append((b"content-length", str(len(parts[0])).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for number, part in enumerate(parts, 1):
        await send({"type": "http.response.body", "body": part, "more_body": number < len(parts)})


def _whole() -> bytes:
    message = {"role": "assistant", "content": TEXT}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return json.dumps({**_HEAD, "object": "chat.completion", "choices": [choice], "usage": _USAGE}).encode()


def _stream() -> list[bytes]:
    first, *rest = WORDS
    deltas: list[tuple[dict[str, str], str | None]] = [({"role": "assistant", "content": first}, None)]
    deltas += [({"content": word}, None) for word in rest]
    deltas.append(({}, "stop"))
    choices = [[{"index": 0, "delta": delta, "finish_reason": reason}] for delta, reason in deltas]
    chunks = [{**_HEAD, "object": "chat.completion.chunk", "choices": choice} for choice in choices]
    chunks.append({**_HEAD, "object": "chat.completion.chunk", "choices": [], "usage": _USAGE})
    return [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks] + [b"data: [DONE]\n\n"]


_WHOLE, _STREAM = _whole(), _stream()

if __name__ == "__main__":
    uvicorn.run(
        MockEngine(),
        port=int(sys.argv[1]),
        log_level="warning",
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
