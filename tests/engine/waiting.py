"""Waits for what servers do a moment after they answered."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")

_POLL_SECONDS = 0.2


def until(read: Callable[[], Value], holds: Callable[[Value], object], seconds: float = 30.0) -> Value:
    """What was read once it holds, or as it is after `seconds`."""
    end = time.monotonic() + seconds
    while not holds(value := read()) and time.monotonic() < end:
        time.sleep(_POLL_SECONDS)
    return value


def until_equal(read: Callable[[], Value], wanted: Value) -> Value:
    return until(read, lambda value: value == wanted)


def until_at_least(read: Callable[[], float], wanted: float) -> float:
    return until(read, lambda value: value >= wanted)
