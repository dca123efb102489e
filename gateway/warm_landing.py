"""A warm landing: a branch that assistants read moves once the new commit's prefixes have their KV.

So the first question after a landing finds its prefix as the last one before it did. The commit is written first and
warmed by its id; then the branch moves. Whoever dies in between leaves the branch where it was: a proposal is taken up
again, and of any other commit nobody was told that it landed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from sqlalchemy.exc import SQLAlchemyError

from gateway.branch_warming import BranchWarming, TellWarmed
from gateway.cached_commits import CachedCommits
from gateway.core import Assistant, Core
from gateway.warming import FLUSH_SECONDS, Warmed
from kb.errors import RefMoved
from kb.knowledge_base import KnowledgeBase
from kb.store import BaseId

logger = logging.getLogger("kvasir.warming")

_Branch = tuple[BaseId, str]


def warm_landings(core: Core) -> Core:
    """The same core, whose branches land warm where an engine's cache is configured."""
    return replace(core, landing=WarmLanding(core)) if core.caches else core


class WarmLanding:
    """A `kb.landing.Landing`. One landing of a branch at a time; `stop` ends the warming under way, and all later."""

    def __init__(self, core: Core, tell: TellWarmed | None = None) -> None:
        self._core = core
        self._warming = BranchWarming(core, tell or _untold)
        self._commits = CachedCommits(core.database)
        self._stopping = threading.Event()
        self._locks: defaultdict[_Branch, threading.Lock] = defaultdict(threading.Lock)
        self._spent: dict[_Branch, float] = {}
        """Seconds for commits that another came before: a landing takes `warm_seconds` in all, however often it is
        tried."""

    def stop(self) -> None:
        self._stopping.set()

    def concerns(self, base: BaseId, branch: str) -> bool:
        if self._stopping.is_set():
            return False
        engines = {self._core.settings.assistants[name].engine for name in self._core.readers(base, branch)}
        return any(cache.warm_seconds > 0 for name, cache in self._core.caches.items() if name in engines)

    @contextmanager
    def before(self, base: KnowledgeBase, branch: str, head: str, commit: str) -> Iterator[None]:
        this = base.id, branch
        with self._locks[this]:
            if base.branches().get(branch) == head:  # else it cannot move, and is made again on what is there now
                self._spent[this] = self._spent.get(this, 0.0) + self._warm(base.id, branch, head, commit)
            moved = True
            try:
                yield
            except RefMoved:
                moved = False
                raise
            finally:
                if moved:
                    self._spent.pop(this, None)

    def _warm(self, base: BaseId, branch: str, head: str, commit: str) -> float:
        caches = self._core.caches_of(base.tenant, base.name)
        urls = {url for cache in caches for url in cache.urls}
        spent = self._spent.get((base, branch), 0.0)
        try:
            had = {each.commit for each in self._commits.of(base, urls) if not each.is_due(time.time())}
            # Noted first, so that its KV is not given back meanwhile, and is in the end if this process dies.
            self._commits.add(base, commit, urls)
        except SQLAlchemyError as exc:
            logger.warning("%s lands without being warmed: %s", commit[:12], exc)
            return 0.0
        took = self._warming.warm(base, branch, commit, had={head, *had}, stop=self._stopping, spent_seconds=spent)
        for cache in caches:
            cache.flush(FLUSH_SECONDS)
        return took


def _untold(_assistant: Assistant, _warmed: Warmed) -> None:
    pass
