"""A stream whose consumer goes away."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from gateway.answering import Answer, Ask, prepare, stream
from gateway.conversation import ask
from gateway.core import Core, open_core
from gateway.settings import Settings
from gateway.testing import ScriptedEngine
from kb.embedding import SentenceEmbedder
from kb.knowledge_base import Changes

GONE = "the client closed the connection before the answer ended"
Pieces = AsyncGenerator[str | Answer]


@pytest.fixture
def core(
    make_settings: Callable[..., Settings], fill: Any, shop_items: Changes, embedder: SentenceEmbedder
) -> Iterator[Core]:
    settings, engine = make_settings(verified_answers=False), ScriptedEngine()
    fill(settings, shop_items)
    engine.enqueue_stream("SELECT", " 1")
    core = open_core(settings, engines={"main": engine}, embedder=embedder)
    yield core
    core.close()


async def closed(pieces: Pieces) -> None:
    await anext(pieces)
    await pieces.aclose()


async def cancelled_twice(pieces: Pieces) -> None:
    came = asyncio.Event()

    async def consume() -> None:
        async for _ in pieces:
            came.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(consume())
    await came.wait()
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0)
    with suppress(asyncio.CancelledError):
        await task
    await pieces.aclose()


@pytest.mark.parametrize("leave", [closed, cancelled_twice])
def test_its_trace_is_kept_beside_the_event_loop(
    core: Core, monkeypatch: pytest.MonkeyPatch, leave: Callable[[Pieces], Any]
) -> None:
    threads: list[int] = []
    add = core.traces.add

    def noted(*arguments: Any) -> None:
        threads.append(threading.get_ident())
        add(*arguments)

    monkeypatch.setattr(core.traces, "add", noted)
    prepared = prepare(core, Ask("default", "shop", ask("Which supplier has the longest lead time?")))
    # At its end it waits for what is under way in threads.
    asyncio.run(leave(stream(core, prepared)))
    trace = core.traces.get("default", prepared.ask.id)
    assert (trace.status, trace.error) == ("failed", GONE)
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()
