"""The outbox: whoever tells never waits and never fails, whatever becomes of the cache."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from backend.cache_server import CacheServer, PromptNote
from gateway.cache_outbox import CacheOutbox
from gateway.testing import ScriptedCache, Told


@pytest.fixture
def cache(running: Any) -> Iterator[tuple[ScriptedCache, str]]:
    scripted = ScriptedCache()
    with running(scripted.app) as url:
        yield scripted, url


def eventually(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 30
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)
    return true()


def nowhere() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_what_is_put_is_told_in_order(cache: tuple[ScriptedCache, str]) -> None:
    scripted, url = cache
    outbox = CacheOutbox(CacheServer(url))
    note = PromptNote((1, 2, 3), "acme", "code", "s", "c", 2)
    outbox.put("note", lambda server: server.note(note))
    outbox.put("promotion", lambda server: server.promote((1, 2), "acme"))
    outbox.put("expect", lambda server: server.expect("s"))
    outbox.put("end", lambda server: server.end("s"))
    outbox.put("release", lambda server: server.release("c"))
    assert eventually(lambda: len(outbox.counts()) == 5)
    outbox.close()
    assert scripted.told == [
        Told(
            "POST",
            "notes",
            {
                "token_ids": [1, 2, 3],
                "cache_salt": "acme",
                "use_case": "code",
                "session": "s",
                "commit": "c",
                "knowledge_tokens": 2,
            },
        ),
        Told("POST", "promotions", {"token_ids": [1, 2], "cache_salt": "acme"}),
        Told("POST", "sessions/s/expect", {}),
        Told("DELETE", "sessions/s", {}),
        Told("DELETE", "commits/c", {}),
    ]
    assert {outcome for _, outcome in outbox.counts()} == {"sent"}


def test_a_full_queue_drops_and_counts(cache: tuple[ScriptedCache, str]) -> None:
    outbox = CacheOutbox(CacheServer(cache[1]), capacity=2)
    begun, released = threading.Event(), threading.Event()

    def block(_server: CacheServer) -> None:
        begun.set()
        released.wait(30)

    outbox.put("note", block)
    assert begun.wait(30)
    for _ in range(5):
        outbox.put("expect", lambda server: server.expect("s"))
    assert (outbox.waiting(), outbox.counts()) == (2, {("expect", "dropped"): 3})
    released.set()
    assert eventually(lambda: outbox.counts().get(("expect", "sent")) == 2)
    outbox.close()


def test_a_cache_that_is_down_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    outbox = CacheOutbox(CacheServer(nowhere()))
    with caplog.at_level(logging.WARNING, "kvasir.cache"):
        for _ in range(3):
            outbox.put("expect", lambda server: server.expect("s"))
        assert eventually(lambda: outbox.counts() == {("expect", "failed"): 3})
    (line,) = caplog.messages
    assert "does not answer" in line
    assert "cache_url" in line
    outbox.close()


def test_an_error_of_ours_does_not_end_the_thread(cache: tuple[ScriptedCache, str]) -> None:
    scripted, url = cache
    outbox = CacheOutbox(CacheServer(url))

    def wrong(_server: CacheServer) -> None:
        raise ZeroDivisionError

    outbox.put("note", wrong)
    outbox.put("expect", lambda server: server.expect("s"))
    assert eventually(lambda: len(scripted.told) == 1)
    scripted.status = 503
    outbox.put("end", lambda server: server.end("s"))
    assert eventually(lambda: ("end", "failed") in outbox.counts())
    assert outbox.counts()["note", "failed"] == 1
    outbox.close()


def test_a_flush_waits_for_what_was_put_and_counts_as_nothing(cache: tuple[ScriptedCache, str]) -> None:
    scripted, url = cache
    outbox = CacheOutbox(CacheServer(url))
    outbox.flush(30)
    for _ in range(20):
        outbox.put("expect", lambda server: server.expect("s"))
    outbox.flush(30)
    assert len(scripted.told) == 20
    begun, released = threading.Event(), threading.Event()

    def block(_server: CacheServer) -> None:
        begun.set()
        released.wait(30)

    outbox.put("end", block)
    assert begun.wait(30)
    outbox.flush(0.01)
    assert not released.is_set()
    released.set()
    assert eventually(lambda: outbox.counts() == {("expect", "sent"): 20, ("end", "sent"): 1})
    outbox.close()
