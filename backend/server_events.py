"""The events of a streamed answer, as OpenAI's API sends them: server-sent events, one JSON object each."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

_DATA, _DONE = b"data:", b"[DONE]"


async def events_of(pieces: AsyncIterable[bytes]) -> AsyncIterator[dict[str, Any]]:
    """Until the end mark, or until no more comes. Raises `ValueError` for an event that is not JSON."""
    buffered = b""
    async for piece in pieces:
        *lines, buffered = (buffered + piece).split(b"\n")
        for line in lines:
            if not line.startswith(_DATA):
                continue
            data = line[len(_DATA) :].strip()
            if data == _DONE:
                return
            event = json.loads(data)
            if isinstance(event, dict):
                yield event
