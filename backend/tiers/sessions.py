"""The sessions whose KV is somewhere: what each holds, and when it last asked."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice, takewhile

from backend.tiers.placement import SessionState, Thresholds, session_state
from backend.tiers.sightings import ChunkId

_FORMER_CHUNKS = 1000
_GAPS_UNTIL_SILENT = 4.0
_WEIGHT_OF_ONE_GAP = 0.05


@dataclass(frozen=True)
class Session:
    """`chunks` are those of its longest prompt, in order; `former` the newest of what else it asked with, as where a
    turn was edited. It was used last when it asked last, or is about to ask.
    """

    name: str
    chunks: tuple[ChunkId, ...]
    last_used: float
    last_asked: float
    state: SessionState = "active"
    former: tuple[ChunkId, ...] = ()

    @property
    def held(self) -> tuple[ChunkId, ...]:
        """All that it may have left in a tier."""
        return (*self.chunks, *self.former)


@dataclass(frozen=True)
class SilentSession:
    """`ram_bytes` are those of the chunks that only it uses."""

    name: str
    silent_seconds: float
    ram_bytes: int = 0


@dataclass(frozen=True)
class SilentSessions:
    """Those silent for `after_seconds` that hold RAM, the largest first; `after_seconds` is `None` until it is known.

    `used_bytes` and `capacity_bytes` are of all of LMCache's RAM.
    """

    after_seconds: float | None
    used_bytes: int
    capacity_bytes: int
    sessions: tuple[SilentSession, ...]


class Sessions:
    """The last `capacity` sessions. Not thread-safe: its owner locks."""

    def __init__(self, capacity: int = 20_000) -> None:
        self._capacity = capacity
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._gap_seconds: float | None = None

    def __len__(self) -> int:
        return len(self._sessions)

    def get(self, name: str) -> Session | None:
        return self._sessions.get(name)

    def ask(self, name: str, chunks: tuple[ChunkId, ...], now: float) -> None:
        """A request of the session; a session that was idle is active again."""
        before = self._sessions.get(name)
        if before is None:
            self._put(Session(name, chunks, now, now))
            return
        self._learn_gap(now - before.last_asked)
        longest = max(chunks, before.chunks, key=len)
        known = set(longest)
        former = [chunk for chunk in dict.fromkeys((*before.former, *before.chunks, *chunks)) if chunk not in known]
        self._put(Session(name, longest, now, now, former=tuple(former[-_FORMER_CHUNKS:])))

    def expect(self, session: Session, now: float) -> None:
        """It is about to ask, and so active."""
        self._put(replace(session, last_used=now, state="active"))

    @property
    def silent_after_seconds(self) -> float | None:
        """The silence after which a session is gone for all that others tell; `None` before any came again."""
        return None if self._gap_seconds is None else _GAPS_UNTIL_SILENT * self._gap_seconds

    def _put(self, session: Session) -> None:
        self._sessions[session.name] = session
        self._sessions.move_to_end(session.name)
        while len(self._sessions) > self._capacity:
            self._sessions.popitem(last=False)

    def _learn_gap(self, gap: float) -> None:
        usual = gap if self._gap_seconds is None else self._gap_seconds
        self._gap_seconds = usual + _WEIGHT_OF_ONE_GAP * (gap - usual)

    def drop(self, name: str) -> Session | None:
        return self._sessions.pop(name, None)

    def set_state(self, name: str, state: SessionState) -> None:
        if session := self._sessions.get(name):
            self._sessions[name] = replace(session, state=state)

    def counts(self) -> dict[SessionState, int]:
        found: dict[SessionState, int] = {"active": 0, "idle": 0, "gone": 0}
        for session in self._sessions.values():
            found[session.state] += 1
        return found

    def silent(self, seconds: float, now: float, most: int) -> list[Session]:
        """Sessions without a request for more than `seconds`, the longest silent first, and at most so many."""
        # They are kept in the order of their last use.
        silent = takewhile(lambda session: now - session.last_used > seconds, self._sessions.values())
        return list(islice(silent, most))

    def changed(self, now: float, limits: Callable[[Session], Thresholds]) -> list[tuple[Session, SessionState]]:
        """Sessions whose state by `limits` is a later one than the recorded, with that state. Changes nothing."""
        order: dict[SessionState, int] = {"active": 0, "idle": 1, "gone": 2}
        due: list[tuple[Session, SessionState]] = []
        for session in self._sessions.values():
            state = session_state(now - session.last_used, limits(session))
            if order[state] > order[session.state]:
                due.append((session, state))
        return due
