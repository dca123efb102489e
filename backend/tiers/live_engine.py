"""How many requests the engine has now: those that share its steps with a prompt that is computed.

What was read is believed for some seconds. An engine that does not answer is taken for an idle one, as the profile
found it.
"""

from __future__ import annotations

BELIEVED_SECONDS = 5.0


class LiveEngine:
    """The last count of requests, running and waiting. Not thread-safe: its owner locks."""

    def __init__(self) -> None:
        self._requests = 0
        self._at: float | None = None

    def observe(self, requests: int, now: float) -> None:
        """`now` is any clock's seconds, the same as `requests` is given."""
        self._requests, self._at = requests, now

    def requests(self, now: float) -> int | None:
        """`None` where nothing was read lately."""
        return self._requests if self._at is not None and now - self._at <= BELIEVED_SECONDS else None

    def others(self, now: float) -> int:
        """The requests beside the one that asks: it may be counted already, so one is taken off."""
        return max(0, (self.requests(now) or 0) - 1)
