"""The thread that takes queued proposals through capture, one at a time. Every replica may run one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

from gateway.capture import Capture
from gateway.core import Core
from gateway.errors import ProposalChanged
from gateway.proposals import Proposal

logger = logging.getLogger("kvasir.capture")

LEASE_SECONDS = 15.0
POLL_SECONDS = 1.0


class CaptureWorker:
    """`start` and `stop` it; `wake` it when a proposal was queued, so that nobody waits for a poll."""

    def __init__(self, core: Core, capture: Capture, *, lease_seconds: float = LEASE_SECONDS) -> None:
        self._core, self._capture, self._lease_seconds = core, capture, lease_seconds
        self._awake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="kvasir-capture", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends after the proposal under way; what is queued stays queued."""
        self._stopping.set()
        self._awake.set()
        if self._thread.is_alive():
            self._thread.join()

    def wake(self) -> None:
        self._awake.set()

    def drain(self, *, only: str | None = None) -> int:
        """Run what is queued now (with `only`, that proposal), in this thread; gives how many proposals that were."""
        done = 0
        while not self._stopping.is_set() and (proposal := self._lease(only)):
            self._run(proposal)
            done += 1
        return done

    def _lease(self, only: str | None) -> Proposal | None:
        served = {(entry.tenant, name) for name, entry in self._core.settings.assistants.items()}
        return self._core.proposals.lease(self._lease_seconds, assistants=served, only=only)

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                self.drain()
            except DBAPIError:
                # The database is away or locked: the queue is in it, so nothing is lost by trying again.
                logger.exception("the proposal queue cannot be read")
            self._awake.wait(POLL_SECONDS)
            self._awake.clear()

    def _run(self, proposal: Proposal) -> None:
        with self._held(proposal):
            try:
                ended = self._taken_through(proposal)
                logger.info("proposal %s of request %s: %s", ended.id, ended.request_id, ended.state)
            except ProposalChanged:
                logger.warning("proposal %s was taken or decided by another meanwhile", proposal.id)

    def _taken_through(self, proposal: Proposal) -> Proposal:
        try:
            return self._capture.run(proposal)
        except ProposalChanged:
            raise
        except Exception:
            # The boundary of this thread: one proposal must not end it.
            logger.exception("proposal %s met an error of ours", proposal.id)
            return self._capture.try_later(proposal, "an error of the gateway itself, told in its log")

    @contextmanager
    def _held(self, proposal: Proposal) -> Iterator[None]:
        """Renew the lease for as long as the work takes."""
        done = threading.Event()

        def renew() -> None:
            while not done.wait(self._lease_seconds / 3):
                try:
                    self._core.proposals.renew(proposal, self._lease_seconds)
                except DBAPIError:
                    logger.exception("the lease of proposal %s cannot be renewed now", proposal.id)

        thread = threading.Thread(target=renew, name="kvasir-lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
