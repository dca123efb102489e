"""Whether an answer reached its end, from the reason that its engine gives."""

from __future__ import annotations

from backend.errors import EngineInterrupted

_BROKEN_OFF = frozenset({"abort", "error", "network_error"})


def whole(engine: str, said: str | None, reason: str | None) -> str:
    """`reason`, if what the engine `said` means that the answer is whole. Raises `EngineInterrupted`."""
    if said is None or reason is None:
        raise EngineInterrupted(engine, "it ended without a finish reason")
    if said.lower() in _BROKEN_OFF:
        raise EngineInterrupted(engine, f"finish reason '{said}'")
    return reason
