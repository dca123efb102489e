"""The replicas of one engine as they are now: what each was asked, how much is under way, and who is left out.

One that fails is left out for a while, twice as long each time it fails again; then one request tries it, and others
follow once that was answered. Where all are left out, they are asked all the same: refusing would help nobody.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from backend.engine import Usage
from backend.errors import (
    BackendError,
    ContextTooLong,
    EngineInterrupted,
    EngineRefused,
    EngineTimeout,
    EngineUnreachable,
)
from backend.routing.choice import Candidate, chosen
from backend.routing.prefix import Prefix
from backend.routing.prefix_index import CAPACITY_BLOCKS, PrefixIndex

logger = logging.getLogger("kvasir.routing")

FIRST_AWAY_SECONDS = 5.0
LONGEST_AWAY_SECONDS = 60.0
_REPLICAS_OWN = frozenset({401, 403, 404, 408, 429})
"""Statuses below 500 that say nothing about the request: another replica may take it."""


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """For whoever watches. `requests` were begun and `failures` of them were the replica's; tokens are of the others.

    `away` says that it failed last and is left out, or tried by one request at a time.
    """

    name: str
    away: bool
    in_flight: int
    requests: int
    failures: int
    prompt_tokens: int
    cached_tokens: int
    known_blocks: int


@dataclass
class _Replica:
    name: str
    index: PrefixIndex
    pending: int = 0
    in_flight: int = 0
    requests: int = 0
    failures: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    failed_in_a_row: int = 0
    away_until: float = 0.0
    era: int = 0
    """Counts failures. A request that began in an earlier one does not say that the replica is back."""

    def can_be_asked(self, now: float) -> bool:
        return self.failed_in_a_row == 0 or (now >= self.away_until and self.pending == 0)


class Replicas:
    """Of the engine `engine`; any number of threads and event loops. Nothing here waits.

    `outlived` says that a cache beside the replica's process keeps its KV when that process ends.
    """

    def __init__(
        self,
        engine: str,
        names: Sequence[str],
        *,
        outlived: bool = False,
        capacity_blocks: int = CAPACITY_BLOCKS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine, self._outlived, self._clock = engine, outlived, clock
        self._lock = threading.Lock()
        self._replicas = {name: _Replica(name, PrefixIndex(capacity_blocks)) for name in names}

    def __len__(self) -> int:
        return len(self._replicas)

    def choose(self, prefix: Prefix, *, without: Collection[str] = ()) -> str:
        """Whom to ask, of those that are not in `without`: at least one must be left."""
        with self._lock:
            candidates = [
                Candidate(one.name, one.index.matched(prefix.blocks), one.in_flight) for one in self._there(without)
            ]
        return chosen(candidates, len(prefix.blocks), prefix.beginning)

    def there(self) -> list[str]:
        """Who is not left out now; all of them where all are."""
        with self._lock:
            return [replica.name for replica in self._there(())]

    @contextmanager
    def asking(self, name: str, prefix: Prefix | None) -> Iterator[None]:
        """A request to the replica, from its beginning to its end; what is raised within is judged.

        A prefix counts as there from the beginning on, so that those who come meanwhile wait for it and do not have
        another replica compute it, too. `None` is a question about the model: it is no load and leaves no KV, and its
        answer does not say that prompts are answered.
        """
        replica, asked = self._replicas[name], prefix is not None
        with self._lock:
            era = replica.era
            replica.pending += 1
            if prefix is not None:
                replica.in_flight += 1
                replica.requests += 1
                replica.index.add(prefix.blocks)
        try:
            yield
            if asked:
                self._answered(replica, era)
        except BackendError as exc:
            if is_replicas_fault(exc):
                self._failed(replica, exc, asked=asked)
            raise
        finally:
            with self._lock:
                replica.pending -= 1
                replica.in_flight -= asked

    def count(self, name: str, usage: Usage | None) -> None:
        """Tokens of a request that was answered."""
        if usage is not None:
            with self._lock:
                self._replicas[name].prompt_tokens += usage.prompt_tokens
                self._replicas[name].cached_tokens += usage.cached_tokens or 0

    def states(self) -> tuple[ReplicaState, ...]:
        with self._lock:
            return tuple(
                ReplicaState(
                    one.name,
                    one.failed_in_a_row > 0,
                    one.in_flight,
                    one.requests,
                    one.failures,
                    one.prompt_tokens,
                    one.cached_tokens,
                    len(one.index),
                )
                for one in self._replicas.values()
            )

    def _there(self, without: Collection[str]) -> list[_Replica]:
        now = self._clock()
        left = [replica for name, replica in self._replicas.items() if name not in without]
        return [replica for replica in left if replica.can_be_asked(now)] or left

    def _failed(self, replica: _Replica, exc: BackendError, *, asked: bool) -> None:
        with self._lock:
            now = self._clock()
            replica.era += 1
            replica.failures += asked
            if replica.failed_in_a_row == 0 or now >= replica.away_until:
                # Requests that were under way together fail together, and are one failure.
                seconds = min(FIRST_AWAY_SECONDS * 2**replica.failed_in_a_row, LONGEST_AWAY_SECONDS)
                replica.failed_in_a_row += 1
                replica.away_until = now + seconds
                logger.warning("replica %s is left out for %g s: %s", replica.name, seconds, exc)
            if isinstance(exc, EngineUnreachable) and not self._outlived:
                replica.index.clear()

    def _answered(self, replica: _Replica, era: int) -> None:
        with self._lock:
            if replica.failed_in_a_row == 0 or era != replica.era:
                return
            replica.failed_in_a_row = 0
        logger.info("replica %s of engine '%s' answers again", replica.name, self._engine)


def is_replicas_fault(exc: BackendError) -> bool:
    """Whether an error tells of who was asked, and not of what."""
    if isinstance(exc, ContextTooLong):
        return False
    if isinstance(exc, EngineRefused):
        return exc.status >= 500 or exc.status in _REPLICAS_OWN
    return isinstance(exc, EngineUnreachable | EngineInterrupted | EngineTimeout)
