"""Server-sent events, as OpenAI streams its chunks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi.responses import StreamingResponse

DONE = "data: [DONE]\n\n"


def event(data: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"


def response(events: AsyncIterator[str] | AsyncIterator[bytes], headers: Mapping[str, str]) -> StreamingResponse:
    return StreamingResponse(events, media_type="text/event-stream", headers={**headers, "Cache-Control": "no-cache"})
