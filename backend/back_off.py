"""How often, and after which waits, a part that died is started again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BackOff:
    """Waits double from `first_seconds` to `longest_seconds`; after `most` restarts in a row there is no further one.

    A part that then lived for `settled_seconds` is counted from 0 again. The first wait is longer than vLLM needs to
    notice that LMCache is gone (twice `HEARTBEAT_SECONDS` of `backend.engine_command`): one that is back before that
    is taken for the one that left, and is never told again whom it serves.
    """

    first_seconds: float = 5.0
    longest_seconds: float = 300.0
    most: int = 5
    settled_seconds: float = 600.0

    def wait_seconds(self, restarts: int) -> float:
        """Before the next start, after `restarts` in a row."""
        return float(min(self.first_seconds * 2**restarts, self.longest_seconds))


@dataclass(frozen=True)
class Restarts:
    """What was done about one part since `up` started it. Times are in seconds since the epoch.

    `in_a_row` counts towards giving up, `total` does not stop. `next_at` is set while the part is down and waits.
    `problem` is why the last start failed, or how the part ended.
    """

    in_a_row: int = 0
    total: int = 0
    last_at: float | None = None
    next_at: float | None = None
    given_up: bool = False
    problem: str | None = None


NO_RESTARTS = Restarts()
