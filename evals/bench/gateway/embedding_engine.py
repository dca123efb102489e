"""What embedding a question costs by itself: `python -m evals.bench.gateway.embedding_engine PORT`.

The mock engine behind an embedding: the texts that the gateway would embed for a question are embedded in a thread, as
the gateway does it, and then the engine's 20 ms begin. So its load is that of a gateway which does nothing but embed.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import uvicorn

from evals.bench.gateway.mock_engine import KEEP_ALIVE_SECONDS, MockEngine
from gateway.long_lived import freeze
from kb.embedding import SentenceEmbedder

SEPARATOR = "\n"
"""Between the question and its masked form, in the content of the message."""


def embedding_engine() -> MockEngine:
    embedder = SentenceEmbedder()
    embedder.embed(["warm up"])
    freeze()  # as the gateway does

    async def embed(asked: dict[str, Any]) -> None:
        texts = asked["messages"][-1]["content"].split(SEPARATOR)
        await asyncio.to_thread(embedder.embed, texts)

    return MockEngine(embed)


if __name__ == "__main__":
    uvicorn.run(
        embedding_engine(),
        port=int(sys.argv[1]),
        log_level="warning",
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
