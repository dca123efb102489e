"""Transfers that are under way, and the last that ended."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

TransferKind = Literal["fetch", "store"]


@dataclass(frozen=True)
class Transfer:
    """One that ended. `alone` says that no other of its tier and kind overlapped it."""

    number: int
    kind: TransferKind
    tier: str
    size_bytes: int
    seconds: float
    alone: bool


@dataclass
class _Begun:
    tier: str
    kind: TransferKind
    size_bytes: int
    at: float
    alone: bool


class Transfers:
    """Not thread-safe: its owner locks. A transfer that never ends stays counted until `forget_after_seconds`."""

    def __init__(self, kept: int = 2000, forget_after_seconds: float = 300.0) -> None:
        self._forget_after_seconds = forget_after_seconds
        self._begun: dict[object, _Begun] = {}
        self._ended: deque[Transfer] = deque(maxlen=kept)
        self._number = 0

    def begin(self, key: object, kind: TransferKind, tier: str, size_bytes: int, now: float) -> None:
        for other, begun in list(self._begun.items()):
            if now - begun.at > self._forget_after_seconds:
                del self._begun[other]
            elif (begun.tier, begun.kind) == (tier, kind):
                begun.alone = False
                self._begun[key] = _Begun(tier, kind, size_bytes, now, alone=False)
        self._begun.setdefault(key, _Begun(tier, kind, size_bytes, now, alone=True))

    def end(self, key: object, now: float, size_bytes: int | None = None) -> Transfer | None:
        """`size_bytes` replaces what was announced, where less was moved. `None` for a transfer that is not known."""
        begun = self._begun.pop(key, None)
        if begun is None:
            return None
        self._number += 1
        moved = begun.size_bytes if size_bytes is None else size_bytes
        transfer = Transfer(self._number, begun.kind, begun.tier, moved, max(0.0, now - begun.at), begun.alone)
        self._ended.append(transfer)
        return transfer

    def queued_bytes(self, kind: TransferKind, tier: str) -> int:
        return sum(begun.size_bytes for begun in self._begun.values() if (begun.kind, begun.tier) == (kind, tier))

    def after(self, number: int) -> tuple[Transfer, ...]:
        """Those that ended after the transfer `number`, oldest first."""
        return tuple(transfer for transfer in self._ended if transfer.number > number)
