"""Waits for what becomes true a moment later."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")

_PAUSE_SECONDS = 0.05


def until(
    read: Callable[[], Value],
    holds: Callable[[Value], object] = bool,
    *,
    seconds: float,
    pause_seconds: float = _PAUSE_SECONDS,
) -> Value:
    """What `read` gives once it holds, or at the end of `seconds`, whether it holds or not. Read at least once."""
    end = time.monotonic() + seconds
    while not holds(value := read()) and time.monotonic() < end:
        time.sleep(pause_seconds)
    return value
