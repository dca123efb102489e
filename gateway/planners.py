"""The planners of a gateway, by engine and cache salt, each restored from the traces when it is first needed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping

from gateway.block_tree import Label
from gateway.planner import Planner, blocks_of
from gateway.prompt import Prompt
from gateway.traces import Traces

logger = logging.getLogger("kvasir.planner")

RESTORED_REQUESTS = 5000
"""Most traces that are read for one planner."""


class Planners:
    """`blocks` has how many each engine's planners remember; of an engine that it lacks, or with 0, there is none.

    For any threads. A tenant's name is its cache salt.
    """

    def __init__(self, traces: Traces, blocks: Mapping[str, int]) -> None:
        self._traces = traces
        self._blocks = {engine: limit for engine, limit in blocks.items() if limit > 0}
        self._lock = threading.Lock()
        self._making: dict[tuple[str, str], threading.Lock] = {}
        self._planners: dict[tuple[str, str], Planner] = {}

    def of(self, engine: str | None, tenant: str) -> Planner | None:
        """Made, and restored, when it is first asked for; nobody but this tenant waits for that."""
        if engine is None or engine not in self._blocks:
            return None
        with self._lock:
            making = self._making.setdefault((engine, tenant), threading.Lock())
        with making:
            if (engine, tenant) not in self._planners:
                self._planners[engine, tenant] = self._restored(engine, tenant)
            return self._planners[engine, tenant]

    def served(self, engine: str | None, tenant: str, prompt: Prompt) -> None:
        """The engine was given this. A planner that is not made yet will find it in its trace."""
        planner = self._planners.get((engine or "", tenant))
        if planner is not None:
            planner.served(blocks_of(prompt.messages, prompt.parts))

    def _restored(self, engine: str, tenant: str) -> Planner:
        """What was served is remembered by its last use, so what fills it, from the newest trace back, is all that a
        planner which was there all the time would remember.
        """
        started, planner = time.perf_counter(), Planner(self._blocks[engine])
        used: list[tuple[Label, ...]] = []
        for path in self._newest_first(engine, tenant):
            planner.served(path)
            used.append(path)
            if len(planner) == self._blocks[engine]:
                break
        for path in reversed(used):
            planner.served(path)
        logger.info(
            "the planner of '%s' for tenant '%s' remembers %d blocks of %d requests; restored in %.1f s",
            engine,
            tenant,
            len(planner),
            len(used),
            time.perf_counter() - started,
        )
        return planner

    def _newest_first(self, engine: str, tenant: str) -> Iterator[tuple[Label, ...]]:
        for trace in self._traces.newest(tenant, None, RESTORED_REQUESTS):
            if trace.engine == engine and trace.parts:
                yield blocks_of(trace.prompt, trace.parts)
