"""What follows when assistants read another commit than before: its KV is seen to, and what nobody reads given back.

A commit that landed by this gateway, or by another with the same state database, is warm by then (`warm_landing.py`).
One that came without, from a command that knows no cache or while no gateway was running, is warmed now.

The commit before is given back some time later. A conversation that began over it goes on with the prefix that it has,
and the first turn within that time notes its chunks as the new commit's; what nobody came back for is then deleted.
What is due is kept in the state database (`cached_commits.py`), and is tried again until the cache has taken it.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from functools import partial

from gateway.branch_warming import BranchWarming, TellWarmed
from gateway.cached_commits import CachedCommits
from gateway.core import Core
from kb.knowledge_base import KnowledgeBase
from kb.store import BaseId

logger = logging.getLogger("kvasir.landings")

RELEASE_SECONDS = 600.0
RETRY_SECONDS = 30.0
STOP_SECONDS = 5.0


class Landings:
    """`start` and `stop` it; tell it by `moved`."""

    def __init__(self, core: Core, tell: TellWarmed, *, release_seconds: float = RELEASE_SECONDS) -> None:
        self._core, self._release_seconds = core, release_seconds
        self._warming = BranchWarming(core, tell)
        self._commits = CachedCommits(core.database)
        self._caches = {url: cache for cache in core.caches.values() for url in cache.urls}
        self._told: queue.SimpleQueue[KnowledgeBase | None] = queue.SimpleQueue()
        self._to_see: dict[BaseId, KnowledgeBase] = {}
        """Bases of which a revision moved, or may have while nobody looked."""
        self._seen: set[BaseId] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="kvasir-landings", daemon=True)

    def start(self) -> None:
        if self._caches:
            self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._told.put(None)
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def moved(self, base: KnowledgeBase, _revision: str, _commit: str) -> None:
        """The follower's word that a revision is read at another commit, and at its start for each. Returns at once."""
        if self._caches:
            self._told.put(base)

    def _work(self) -> None:
        wait: float | None = None
        while not self._stopping.is_set():
            self._listen(wait)
            try:
                wait = self._see()
            except Exception:
                # The boundary of this thread: warming is a service to requests that manage without.
                logger.exception("a landed commit could not be seen to")
                wait = RETRY_SECONDS

    def _listen(self, seconds: float | None) -> None:
        """Waits for a word, at most so long; several of one base are one."""
        try:
            base = self._told.get(timeout=seconds)
            while True:
                if base is not None:
                    self._to_see[base.id] = base
                base = self._told.get_nowait()
        except queue.Empty:
            return

    def _see(self) -> float | None:
        """Gives the seconds until something is to be done again without a word."""
        for base in list(self._to_see.values()):
            if not self._stopping.is_set():
                self._follow(base)
                self._to_see.pop(base.id, None)
        return self._release_due()

    def _follow(self, base: KnowledgeBase) -> None:
        urls = {url for cache in self._core.caches_of(base.id.tenant, base.name) for url in cache.urls}
        if not urls:
            return
        read = {revision: base.resolve(revision).id for of, revision in self._core.followed() if of.id == base.id}
        held = self._commits.of(base.id, urls)
        known = {(each.commit, each.cache_url) for each in held}
        # What an engine had before this process began may be gone with the engine: asking for it costs little.
        had = {each.commit for each in held if base.id in self._seen and not each.is_due(time.time())}
        for revision, commit in read.items():
            if any((commit, url) not in known for url in urls):
                # Of a base that is seen for the first time nothing is known, so that nothing has moved.
                if held:
                    self._warming.warm(base.id, revision, commit, had=had, stop=self._stopping)
                if self._stopping.is_set():
                    return
            self._commits.add(base.id, commit, urls)
        self._seen.add(base.id)
        self._commits.leave(base.id, read.values(), urls, time.time() + self._release_seconds)

    def _release_due(self) -> float | None:
        now = time.time()
        due = self._commits.due(self._caches, now)
        for each in due:
            done = partial(self._commits.forget, each)
            self._caches[each.cache_url].release(each.base, each.commit, each.cache_url, done)
        following = self._commits.next_release(self._caches, after=now)
        waits = [RETRY_SECONDS] if due else []
        waits += [following - now] if following is not None else []
        return min(waits, default=None)
