"""The follower: a thread that makes the index of a branch's new head before a request needs it.

A request finds the head by itself, in the database; without a follower the first one after a commit would make its
index. So a replica that follows answers from any commit, its own or another's, as fast as from the one before.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from kb.errors import KnowledgeError
from kb.head_watch import HeadWatch, watch_heads
from kb.knowledge_base import KnowledgeBase
from kb.retrieval import Retriever

logger = logging.getLogger("kvasir.follower")

WAIT_SECONDS = 0.5
STOP_SECONDS = 5.0
LOOK_SECONDS = 30.0
"""Heads are looked at so often even if nobody tells of a move: a connection may have died without a word."""

Heads = Callable[[], Iterable[tuple[KnowledgeBase, str]]]
"""The bases and revisions to follow, asked for each time. It may raise what `KnowledgeBase` raises."""

TellReady = Callable[[KnowledgeBase, str, str], None]
"""Told each base, revision and commit once its index is made. It must be quick: other bases wait."""


class Follower:
    """`start` and `stop` it. Its first round makes what is there now ready."""

    def __init__(self, database: Engine, retriever: Retriever, heads: Heads, *, ready: TellReady | None = None) -> None:
        self._database, self._retriever, self._heads, self._tell_ready = database, retriever, heads, ready
        self._ready: dict[tuple[str, str], str] = {}
        """(base, revision) → the commit whose index was made: those that have not moved are not made again, however
        many bases there are."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="kvasir-follower", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends after the index under way; one that takes long, as a large base's first does, is not waited for."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                watch = watch_heads(self._database)
                try:
                    self._follow(watch)
                finally:
                    watch.close()
            except Exception:
                # The boundary of this thread: where the database is away, requests say so; this goes on trying.
                logger.exception("branches cannot be followed now")
                self._stopping.wait(WAIT_SECONDS)

    def _follow(self, watch: HeadWatch) -> None:
        """Watched first and looked at then, so that no move comes between the two."""
        waited = LOOK_SECONDS
        while not self._stopping.is_set():
            if waited >= LOOK_SECONDS or watch.wait(WAIT_SECONDS):
                self._prepare()
                waited = 0.0
            else:
                waited += WAIT_SECONDS

    def _prepare(self) -> None:
        for base, revision in self._heads():
            if self._stopping.is_set():
                return
            # One base that cannot be read, or whose texts cannot be embedded, must not keep the others waiting.
            try:
                self._prepare_head(base, revision)
            except (KnowledgeError, SQLAlchemyError) as exc:
                logger.warning("the index of %s at %s cannot be made: %s", base.id, revision, exc)
            except Exception:
                logger.exception("the index of %s at %s cannot be made", base.id, revision)

    def _prepare_head(self, base: KnowledgeBase, revision: str) -> None:
        commit = base.resolve(revision)
        if self._ready.get((str(base.id), revision)) != commit.id:
            self._retriever.prepare(base, revision=commit.id)
            self._ready[str(base.id), revision] = commit.id
            if self._tell_ready is not None:
                self._tell_ready(base, revision, commit.id)
