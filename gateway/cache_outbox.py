"""What waits to be told to a cache: a bounded queue and the thread that empties it.

Whoever tells something never waits and never fails by it. What finds the queue full is dropped, and what the cache
does not take is lost: both are counted, and told in the log now and then. A cache that misses a word stays right; it
only keeps or drops KV as if nothing had been said.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Literal

from backend.cache_server import CacheServer
from backend.errors import BackendError

logger = logging.getLogger("kvasir.cache")

Kind = Literal["note", "promotion", "expect", "end", "release"]
Outcome = Literal["sent", "failed", "dropped"]
Send = Callable[[CacheServer], None]
"""Says one thing. It runs in the outbox's thread, and may raise what `backend.errors` has."""

CAPACITY = 256
LOG_SECONDS = 60.0
STOP_SECONDS = 2.0


class CacheOutbox:
    """Of one cache server, which it closes. The thread starts with the first thing to say."""

    def __init__(self, server: CacheServer, *, capacity: int = CAPACITY) -> None:
        self._server = server
        self._queue: queue.Queue[tuple[Kind | None, Send]] = queue.Queue(capacity)
        self._lock = threading.Lock()
        self._counts: Counter[tuple[Kind, Outcome]] = Counter()
        self._told_at: float | None = None
        self._untold = 0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def put(self, kind: Kind, send: Send) -> None:
        """Returns at once. What is put is sent in this order."""
        try:
            self._queue.put_nowait((kind, send))
        except queue.Full:
            self._count(kind, "dropped")
            self._tell("is told more than it takes")
            return
        with self._lock:
            if self._thread is None and not self._stopping.is_set():
                self._thread = threading.Thread(target=self._work, name="kvasir-cache-outbox", daemon=True)
                self._thread.start()

    def flush(self, seconds: float) -> None:
        """Waits until what was put so far is sent or lost, at most so long."""
        with self._lock:
            idle = self._thread is None
        if idle:
            return
        done, until = threading.Event(), time.monotonic() + seconds
        try:
            self._queue.put((None, lambda _: done.set()), timeout=max(0.001, seconds))
        except queue.Full:
            return
        done.wait(max(0.0, until - time.monotonic()))

    def counts(self) -> dict[tuple[Kind, Outcome], int]:
        with self._lock:
            return dict(self._counts)

    def waiting(self) -> int:
        return self._queue.qsize()

    def close(self) -> None:
        """Ends after what is being sent; the rest is not worth waiting for."""
        self._stopping.set()
        with self._lock:
            thread = self._thread
        if thread is not None:
            self._wake()
            thread.join(STOP_SECONDS)
        self._server.close()

    def _wake(self) -> None:
        try:
            self._queue.put_nowait((None, _nothing))
        except queue.Full:
            return  # then there is something to wake up for

    def _work(self) -> None:
        while not self._stopping.is_set():
            kind, send = self._queue.get()
            if not self._stopping.is_set():
                self._send(kind, send)

    def _send(self, kind: Kind | None, send: Send) -> None:
        try:
            send(self._server)
        except (BackendError, TimeoutError) as exc:
            self._count(kind, "failed")
            self._tell(str(exc) or "its engine did not answer in time")
        except Exception:
            # The boundary of this thread: one message must not end it.
            self._count(kind, "failed")
            logger.exception("the cache at %s could not be told", self._server.url)
        else:
            self._count(kind, "sent")

    def _count(self, kind: Kind | None, outcome: Outcome) -> None:
        if kind is None:  # nothing was to be told
            return
        with self._lock:
            self._counts[kind, outcome] += 1

    def _tell(self, problem: str) -> None:
        now = time.monotonic()
        with self._lock:
            if self._told_at is not None and now - self._told_at < LOG_SECONDS:
                self._untold += 1
                return
            untold, self._told_at, self._untold = self._untold, now, 0
        since = f" ({untold} more since the last such line)" if untold else ""
        logger.warning("the cache at %s was not told something: %s%s", self._server.url, problem, since)


def _nothing(_server: CacheServer) -> None:
    pass
