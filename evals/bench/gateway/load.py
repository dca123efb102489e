"""The requests: a closed loop of so many clients, each of which asks again as soon as it has its answer."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import aiohttp

from evals.bench.errors import LoadFailed
from evals.bench.gateway.mock_engine import TEXT

TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask, and as what: `model` is sent as it is, `key` as bearer token."""

    name: str
    url: str
    model: str
    key: str = "none"


@dataclass(frozen=True, slots=True)
class Load:
    """One block of requests. Seconds of each: until the whole answer, or, of a stream, until its first text."""

    seconds: tuple[float, ...]
    elapsed_seconds: float


async def load(target: Target, questions: Sequence[str], clients: int, *, stream: bool) -> Load:
    """Ask every question once. Raises `LoadFailed` where an answer is not the mock engine's."""
    waiting = iter(questions)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(TIMEOUT_SECONDS),
        headers={"Authorization": f"Bearer {target.key}"},
    ) as session:
        begun = time.perf_counter()
        found = await asyncio.gather(*(_client(session, target, waiting, stream) for _ in range(clients)))
        elapsed = time.perf_counter() - begun
    return Load(tuple(seconds for one in found for seconds in one), elapsed)


async def _client(session: aiohttp.ClientSession, target: Target, waiting: Iterator[str], stream: bool) -> list[float]:
    ask = _first_text_seconds if stream else _whole_answer_seconds
    try:
        return [await ask(session, target, question) for question in waiting]
    except (aiohttp.ClientError, TimeoutError, ValueError, LookupError) as exc:
        raise LoadFailed(target.name, repr(exc)) from exc


async def _whole_answer_seconds(session: aiohttp.ClientSession, target: Target, question: str) -> float:
    begun = time.perf_counter()
    async with session.post(f"{target.url}/v1/chat/completions", json=_body(target, question)) as response:
        body = await response.read()
    seconds = time.perf_counter() - begun
    answer = json.loads(body)
    if response.status != 200 or answer["choices"][0]["message"]["content"] != TEXT:
        raise LoadFailed(target.name, f"status {response.status}: {body[:300]!r}")
    return seconds


async def _first_text_seconds(session: aiohttp.ClientSession, target: Target, question: str) -> float:
    first, text = 0.0, ""
    begun = time.perf_counter()
    body = {**_body(target, question), "stream": True}
    async with session.post(f"{target.url}/v1/chat/completions", json=body) as response:
        async for line in response.content:
            if not line.startswith(b"data: {"):
                continue
            choices = json.loads(line[6:]).get("choices")
            piece = choices[0]["delta"].get("content") if choices else None
            if piece:
                first = first or time.perf_counter()
                text += piece
    if response.status != 200 or text != TEXT:
        raise LoadFailed(target.name, f"status {response.status}, streamed {text!r}")
    return first - begun


def _body(target: Target, question: str) -> dict[str, object]:
    return {"model": target.model, "messages": [{"role": "user", "content": question}], "max_tokens": 64}
