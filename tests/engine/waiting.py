"""Waits for what servers do a moment after they answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from backend import polling

Value = TypeVar("Value")

_POLL_SECONDS = 0.2


def until(read: Callable[[], Value], holds: Callable[[Value], object], seconds: float = 30.0) -> Value:
    """What was read once it holds, or as it is after `seconds`."""
    return polling.until(read, holds, seconds=seconds, pause_seconds=_POLL_SECONDS)


def until_equal(read: Callable[[], Value], wanted: Value) -> Value:
    return until(read, lambda value: value == wanted)


def until_at_least(read: Callable[[], float], wanted: float) -> float:
    return until(read, lambda value: value >= wanted)
