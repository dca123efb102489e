"""Asks through LiteLLM's client and through the gateway."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from backend.client import Completion, Engine, Message, Sampling

CHUNK_TOKENS = 256
BLOCK_TOKENS = 128
"""Of vLLM's KV blocks on a CPU; the last tokens of a prompt fill none."""
SHORT = Sampling(max_tokens=8)


def conversation(topic: str, question: str) -> list[Message]:
    """A question behind a long text, the same for every question about a topic."""
    facts = "".join(f"Fact {number} about {topic}: it has {number} parts. " for number in range(90))
    return [{"role": "system", "content": facts}, {"role": "user", "content": question}]


def ask(engine: Engine, topic: str, question: str, salt: str | None = None) -> Completion:
    return asyncio.run(engine.complete(conversation(topic, question), SHORT, cache_salt=salt))


def ask_gateway(client: httpx.Client, question: str) -> dict[str, Any]:
    body = {"model": "shop", "messages": [{"role": "user", "content": question}]}
    response = client.post("/v1/chat/completions", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer
