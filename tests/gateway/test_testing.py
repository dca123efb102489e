"""The scripted engine that ships for tests does what a real one does."""

from __future__ import annotations

import asyncio

import pytest

from backend.client import Chunk, Message, Sampling
from backend.errors import EngineInterrupted, EngineUnreachable
from gateway.testing import ScriptedEngine

MESSAGES: list[Message] = [{"role": "user", "content": "How many orders?"}]


def test_it_gives_its_answers_in_order_and_keeps_the_calls() -> None:
    engine = ScriptedEngine()
    engine.enqueue("one two", "three")
    first = asyncio.run(engine.complete(MESSAGES, Sampling(max_tokens=5), cache_salt="acme"))
    second = asyncio.run(engine.complete(MESSAGES, Sampling(), cache_salt=None))
    assert (first.text, second.text) == ("one two", "three")
    assert (first.usage.prompt_tokens, first.usage.completion_tokens) == (3, 2)
    assert [call.cache_salt for call in engine.calls] == ["acme", None]
    assert engine.calls[0].messages == tuple(MESSAGES)
    assert engine.calls[0].sampling.max_tokens == 5


def test_an_enqueued_error_is_raised_once() -> None:
    engine = ScriptedEngine()
    engine.enqueue(EngineUnreachable("main", None), "after")
    with pytest.raises(EngineUnreachable):
        asyncio.run(engine.complete(MESSAGES, Sampling(), cache_salt=None))
    assert asyncio.run(engine.complete(MESSAGES, Sampling(), cache_salt=None)).text == "after"


def test_a_stream_gives_its_pieces_and_breaks_where_it_was_told_to() -> None:
    engine = ScriptedEngine()
    engine.enqueue_stream("SELECT ", "1")
    engine.enqueue_stream("SELECT ", EngineInterrupted("main", "lost"))
    seen: list[str] = []

    async def read() -> Chunk:
        chunks = []
        async for chunk in engine.stream(MESSAGES, Sampling(), cache_salt=None):
            chunks.append(chunk)
            seen.append(chunk.text)
        return chunks[-1]

    assert asyncio.run(read()).finish_reason == "stop"
    assert seen == ["SELECT ", "1", ""]
    with pytest.raises(EngineInterrupted):
        asyncio.run(read())
    assert seen[3:] == ["SELECT "]


def test_a_call_that_nothing_was_enqueued_for_fails_the_test() -> None:
    with pytest.raises(AssertionError, match="more often"):
        asyncio.run(ScriptedEngine().complete(MESSAGES, Sampling(), cache_salt=None))
