"""Warming a commit for everybody who reads a branch: each assistant's prefixes, within the time of each engine."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection

from sqlalchemy.exc import SQLAlchemyError

from gateway.core import Assistant, Core
from gateway.warming import Warmed, Warming
from kb.errors import KnowledgeError
from kb.store import BaseId

logger = logging.getLogger("kvasir.warming")

TellWarmed = Callable[[Assistant, Warmed], None]


class BranchWarming:
    """For one core, in any thread without an event loop."""

    def __init__(self, core: Core, tell: TellWarmed) -> None:
        self._core, self._tell = core, tell
        self._warming = Warming(core)

    def warm(
        self,
        base: BaseId,
        revision: str,
        commit: str,
        *,
        had: Collection[str],
        stop: threading.Event,
        spent_seconds: float = 0.0,
    ) -> float:
        """Gives the seconds that it took: at most the `warm_seconds` of each engine, less those that are spent.

        What goes wrong is told in the log: a commit lands all the same.
        """
        left = {cache.name: max(0.0, cache.warm_seconds - spent_seconds) for cache in self._core.caches.values()}
        took = 0.0
        for name in self._core.readers(base, revision):
            if stop.is_set():
                break
            try:
                assistant = self._core.assistant(base.tenant, name)
                if assistant.cache is None:
                    continue
                seconds = left[assistant.cache.name]
                warmed = self._warming.warm(assistant, commit, had=had, seconds=seconds, stop=stop)
            except (KnowledgeError, SQLAlchemyError) as exc:
                logger.warning("%s cannot be warmed for '%s': %s", commit[:12], name, exc)
                continue
            left[assistant.cache.name] = max(0.0, seconds - warmed.seconds)
            took += warmed.seconds
            self._tell(assistant, warmed)
            logger.info("%s warmed for '%s': %s", commit[:12], name, warmed)
        return took
