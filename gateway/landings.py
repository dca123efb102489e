"""What follows when assistants read another commit than before: the new one is warmed, the old one's KV given back.

The old commit is released some time later. A conversation that began over it goes on with the prefix that it has, and
the first turn within that time notes its chunks as the new commit's; what nobody came back for is then deleted.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlalchemy.exc import SQLAlchemyError

from gateway.core import Assistant, Core
from gateway.warming import Warmed, Warming
from kb.errors import KnowledgeError
from kb.knowledge_base import KnowledgeBase
from kb.store import BaseId

logger = logging.getLogger("kvasir.landings")

RELEASE_SECONDS = 600.0
STOP_SECONDS = 5.0

TellWarmed = Callable[[Assistant, Warmed], None]


@dataclass(frozen=True, slots=True)
class _Move:
    """`revision` of the base is read at `commit` now; until now it was read at `before`."""

    base: BaseId
    revision: str
    commit: str
    before: str | None = None


class Landings:
    """`start` and `stop` it; tell it by `moved`. What is to be released is forgotten when it stops."""

    def __init__(self, core: Core, tell: TellWarmed, *, release_seconds: float = RELEASE_SECONDS) -> None:
        self._core, self._tell, self._release_seconds = core, tell, release_seconds
        self._warming = Warming(core)
        self._moves: queue.SimpleQueue[_Move | None] = queue.SimpleQueue()
        self._read: dict[tuple[BaseId, str], str] = {}
        """(base, revision) → the commit that is read there."""
        self._left: list[tuple[float, BaseId, str]] = []
        """When which commit is to be released, the earliest first."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="kvasir-landings", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._moves.put(None)
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def moved(self, base: KnowledgeBase, revision: str, commit: str) -> None:
        """The follower's word: `revision` is read at `commit`. Returns at once."""
        self._moves.put(_Move(base.id, revision, commit))

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                self._follow()
            except Exception:
                # The boundary of this thread: warming is a service to requests that manage without.
                logger.exception("a landed commit could not be warmed")

    def _follow(self) -> None:
        landed = self._moves_until(self._left[0][0] if self._left else None)
        for move in landed:
            self._warm(move)
        self._release_due()

    def _moves_until(self, due: float | None) -> list[_Move]:
        """Waits for a move, or until `due`. Of several moves of one revision, the last counts: it is what is read."""
        landed: dict[tuple[BaseId, str], _Move] = {}
        try:
            move = self._moves.get(timeout=None if due is None else max(0.0, due - time.monotonic()))
            while True:
                if move is not None and (before := self._take(move)):
                    first = landed.get((move.base, move.revision))
                    landed[move.base, move.revision] = replace(move, before=first.before if first else before)
                move = self._moves.get_nowait()
        except queue.Empty:
            return list(landed.values())

    def _take(self, move: _Move) -> str | None:
        """The other commit that was read before, whose time runs from now on; `None` without one."""
        before = self._read.get((move.base, move.revision))
        self._read[move.base, move.revision] = move.commit
        if before in (None, move.commit):
            return None
        self._left.append((time.monotonic() + self._release_seconds, move.base, before))
        return before

    def _warm(self, move: _Move) -> None:
        assert move.before is not None, "what moved was somewhere before"
        left = {cache.name: cache.warm_seconds for cache in self._core.caches.values()}
        for name, entry in self._core.settings.assistants.items():
            reads = (entry.tenant, entry.kb, entry.commit or entry.branch)
            if reads != (move.base.tenant, move.base.name, move.revision) or self._stopping.is_set():
                continue
            try:
                assistant = self._core.assistant(entry.tenant, name)
                if assistant.cache is None:
                    continue
                seconds = left[assistant.cache.name]
                warmed = self._warming.warm(
                    assistant, move.commit, before=move.before, seconds=seconds, stop=self._stopping
                )
            except (KnowledgeError, SQLAlchemyError) as exc:
                logger.warning("%s cannot be warmed for '%s': %s", move.commit[:12], name, exc)
                continue
            left[assistant.cache.name] = max(0.0, seconds - warmed.seconds)
            self._tell(assistant, warmed)
            logger.info("%s warmed for '%s': %s", move.commit[:12], name, warmed)

    def _release_due(self) -> None:
        now = time.monotonic()
        while self._left and self._left[0][0] <= now:
            _, base, commit = self._left.pop(0)
            if all(commit != read for (of, _), read in self._read.items() if of == base):
                for cache in self._core.caches_of(base.tenant, base.name):
                    cache.release(base, commit)
