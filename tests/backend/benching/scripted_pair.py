"""A pair that caches like the real one, with times that are exact: 50 ms, and 1 ms a token computed; tiers as below."""

from __future__ import annotations

from typing import Any

from backend.benching.target import SlowTier, Target
from backend.profiling.pair import FirstToken, PrefixCounts
from backend.profiling.prompts import Prompts

CHUNK = 100
BYTES = 10
BASE = 0.05
SECONDS_A_TOKEN = {"ram": 0.0001, "disk": 0.0004, "shared": 0.0008}
COMPUTED = 0.001


class ScriptedPair:
    """`refuses` are tiers that the load gate does not load from."""

    def __init__(self, *slow: str, refuses: tuple[str, ...] = ()) -> None:
        self.engine: set[tuple[int, ...]] = set()
        self.kept: dict[str, set[tuple[int, ...]]] = {"ram": set(), **{name: set() for name in slow}}
        self.refuses = refuses
        self.switches = {"load": True, "store": True}
        self.noted: dict[tuple[int, ...], str | None] = {}
        self.sessions: dict[str, set[tuple[int, ...]]] = {}
        self.log: list[dict[str, Any]] = []
        self.counts = PrefixCounts(0, 0, 0, 0)

    def prefix_counts(self) -> PrefixCounts:
        return self.counts

    def first_token(self, token_ids: list[int]) -> FirstToken:
        chunks = [tuple(token_ids[:end]) for end in range(CHUNK, len(token_ids) + 1, CHUNK)]
        own = _leading(chunks, self.engine) * CHUNK
        place, handed = self._found(chunks)
        handed = max(0, handed - own)
        if handed and place != "ram":
            self._moved("fetch", place, handed)
        seconds = BASE + handed * SECONDS_A_TOKEN.get(place, 0) + (len(token_ids) - own - handed) * COMPUTED
        new = [chunk for chunk in chunks if chunk not in self.kept["ram"]]
        self._moved("store", "ram", (len(new) - handed // CHUNK) * CHUNK)
        self.engine.update(chunks)
        self.kept["ram"].update(chunks)
        if not self.switches["store"]:
            self._write(chunks, self.noted.get(tuple(token_ids)))
        counts = self.counts
        asked = counts.prompts + len(token_ids)
        self.counts = PrefixCounts(asked, asked, counts.own_hits + own, counts.other_hits + handed)
        return FirstToken(seconds, own + handed)

    def empty_engine(self) -> None:
        self.engine.clear()

    def may_empty_engine(self) -> bool:
        return True

    def empty_ram(self) -> None:
        self.kept["ram"].clear()

    def status(self) -> dict[str, Any]:
        return {"gates": dict(self.switches)}

    def set_gates(self, *, load: bool, store: bool) -> None:
        self.switches = {"load": load, "store": store}

    def note(self, token_ids: list[int], *, session: str, use_case: str | None) -> None:
        self.noted[tuple(token_ids)] = use_case
        chunks = [tuple(token_ids[:end]) for end in range(CHUNK, len(token_ids) + 1, CHUNK)]
        self.sessions.setdefault(session, set()).update(chunks)

    def demote_session(self, session: str) -> None:
        self._write(sorted(self.sessions[session], key=len), None)
        self.kept["ram"] -= self.sessions[session]

    def expect_session(self, session: str) -> None:
        chunks = self.sessions[session] & self.kept["disk"]
        self.kept["ram"] |= chunks
        self._moved("fetch", "disk", len(chunks) * CHUNK)

    def forget_session(self, session: str) -> None:
        for kept in self.kept.values():
            kept -= self.sessions.get(session, set())

    def last_transfer(self) -> int:
        return len(self.log)

    def transfers(self, after: int) -> list[dict[str, Any]]:
        return self.log[after:]

    def await_stored(self, tier: str, size_bytes: int, after: int) -> list[dict[str, Any]]:
        return [one for one in self.log[after:] if (one["kind"], one["tier"]) == ("store", tier)]

    def await_fetched(self, tier: str, size_bytes: int, after: int) -> list[dict[str, Any]]:
        return [one for one in self.log[after:] if (one["kind"], one["tier"]) == ("fetch", tier)]

    def close(self) -> None:
        pass

    def _found(self, chunks: list[tuple[int, ...]]) -> tuple[str, int]:
        """The first tier that has the prompt's beginning, and how much of it."""
        for name, kept in self.kept.items():
            if self.switches["load"] and name in self.refuses:
                continue
            if found := _leading(chunks, kept):
                return name, found * CHUNK
        return "ram", 0

    def _write(self, chunks: list[tuple[int, ...]], use_case: str | None) -> None:
        tier = "shared" if use_case == "document" and "shared" in self.kept else "disk"
        if tier in self.kept:
            self._moved("store", tier, len(set(chunks) - self.kept[tier]) * CHUNK)
            self.kept[tier].update(chunks)

    def _moved(self, kind: str, tier: str, tokens: int) -> None:
        number = len(self.log) + 1
        self.log.append({"number": number, "kind": kind, "tier": tier, "size_bytes": tokens * BYTES, "seconds": 0.1})


def scripted_target(*slow: str, refuses: tuple[str, ...] = ()) -> Target:
    """A target of a scripted pair with the tiers `slow`, `disk` or `shared`."""
    pair = ScriptedPair(*slow, refuses=refuses)
    tiers = tuple(SlowTier(name, "shared" if name == "shared" else "disk", None) for name in slow)
    missing = {name: "not here" for name in ("disk", "shared") if name not in slow}
    prompts = Prompts(range(1000))
    return Target(pair, prompts, 2000, CHUNK, tiers, missing, profiled=True)  # type: ignore[arg-type]


def _leading(chunks: list[tuple[int, ...]], kept: set[tuple[int, ...]]) -> int:
    return next((index for index, chunk in enumerate(chunks) if chunk not in kept), len(chunks))
