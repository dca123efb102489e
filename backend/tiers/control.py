"""The gates, the cap, the notes and the sessions of one cache server, behind one lock.

LMCache calls from several threads: its prefetch loop, its store loop, event drain and HTTP. Every method here is
short and calls nothing outside this package, so it may be called while LMCache holds locks of its own.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from backend.errors import ProfileInvalid
from backend.tiers.live_engine import LiveEngine
from backend.tiers.live_speed import LiveSpeed, LiveTier
from backend.tiers.load_gate import choose_chunks, choose_from_ram, quickest
from backend.tiers.notes import Note, Notes
from backend.tiers.placement import SessionState, Thresholds, thresholds, worth_in_ram
from backend.tiers.profile import RAM, Profile, read_profile
from backend.tiers.sessions import Session, Sessions, SilentSession
from backend.tiers.settings import PolicySettings, TierSettings
from backend.tiers.sightings import ChunkId, Sightings
from backend.tiers.store_gate import decide_store
from backend.tiers.transfers import Transfer, TransferKind, Transfers
from backend.tiers.use_case import TierPlan, tier_plan
from backend.tiers.writes import HeldItem, Room, StoreItem, Writes

_WAITING_CHUNKS = 100_000
_LISTED_SESSIONS = 1000


@dataclass(frozen=True)
class StorePlan:
    """Indices of the items to write, and names of the files to delete before, by tier."""

    targets: dict[str, list[int]]
    victims: dict[str, tuple[str, ...]]


class TierControl:
    """See the module. `clock` gives seconds since the epoch."""

    def __init__(self, settings: PolicySettings, clock: Callable[[], float] = time.time) -> None:
        self.settings = settings
        self.load_gate = True
        self.store_gate = True
        self.profile: Profile | None = None
        self.profile_problem: str | None = None
        self._clock = clock
        self._lock = threading.RLock()
        self._sightings = Sightings()
        self._notes = Notes(default=settings.use_case)
        self._sessions = Sessions()
        self._transfers = Transfers()
        self._writes = Writes(settings)
        self._engine = LiveEngine()
        self._speeds = {tier.name: LiveSpeed() for tier in settings.tiers}
        # Declined once, and in RAM: looked at again when they recur, since LMCache asks only about what is new.
        self._waiting: OrderedDict[ChunkId, None] = OrderedDict()
        self._leaving: dict[ChunkId, int] = {}  # of how many ranks the part has not left yet
        self._counts: Counter[str] = Counter()
        self.reload_profile()

    # --- profile and switches

    def reload_profile(self) -> None:
        """Take `profile.json` as it is now. One that is absent or of another model leaves the gates without one."""
        path = self.settings.profile
        found, problem = None, None
        try:
            found = read_profile(path) if path.exists() else None
        except ProfileInvalid as exc:
            problem = str(exc)
        if found and (found.model, found.chunk_tokens) != (self.settings.model, self.settings.chunk_tokens):
            problem = f"{path} is of {found.model} with chunks of {found.chunk_tokens} tokens"
            found = None
        with self._lock:
            self.profile, self.profile_problem = found, problem

    def set_gates(self, *, load: bool, store: bool) -> None:
        """A gate that is off lets LMCache load, or store, all it finds; the disk's cap holds in any case."""
        with self._lock:
            self.load_gate, self.store_gate = load, store

    def set_ram_bytes(self, capacity: int) -> None:
        with self._lock:
            self._writes.set_ram_bytes(capacity)

    # --- lookups and loads

    def note_lookup(self, ids: Sequence[ChunkId]) -> None:
        """A request looked its prompt up. With the store gate off nothing is learned: somebody is measuring."""
        with self._lock:
            if self.store_gate:
                self._sightings.note_lookup(ids, self._clock())

    def choose(self, holders: Sequence[Sequence[str]]) -> list[str]:
        """The tier to take each of the leading chunks from; `holders[i]` names those that have chunk `i`, RAM first.

        Shorter than `holders` where the rest is cheaper to compute.
        """
        with self._lock:
            profile = self.profile if self.load_gate else None
            live = self._live()
            chosen = [names[0] if names[0] == RAM else quickest(names, profile, live) for names in holders]
            decision = choose_chunks(chosen, profile, live, self._engine.others(self._clock()))
            self._counts["load_gate_loaded_chunks"] += decision.chunks
            self._counts["load_gate_loaded_for_others_chunks"] += decision.for_others
            self._counts["load_gate_refused_chunks"] += len(chosen) - decision.chunks
            return chosen[: decision.chunks]

    def choose_ram(self, chunks: int, more: int) -> int:
        """How many of the leading `chunks` chunks to take from RAM, where they lie. Nobody has looked yet whether a
        slower tier has some of the `more` after them; who does so then, where all of RAM's are taken, asks `choose`.
        """
        with self._lock:
            profile = self.profile if self.load_gate else None
            taken = choose_from_ram(
                chunks, more, list(self._speeds), profile, self._live(), self._engine.others(self._clock())
            )
            if taken < chunks or not more:
                self._counts["load_gate_loaded_chunks"] += taken
                self._counts["load_gate_refused_chunks"] += chunks - taken
            return taken

    def recurring(self, ids: Sequence[ChunkId]) -> list[int]:
        """Which of `ids` the store gate declined that have now been seen often enough to be asked about again."""
        with self._lock:
            due = [index for index, chunk in enumerate(ids) if chunk in self._waiting and self._is_due(chunk)]
            for index in due:
                del self._waiting[ids[index]]
            return due

    def engine_has(self, requests: int) -> None:
        """So many requests, running and waiting, as the engine says now."""
        with self._lock:
            self._engine.observe(requests, self._clock())

    # --- stores

    def plan_store(self, items: Sequence[StoreItem]) -> StorePlan:
        """Where each item goes. Room is reserved on the disk, and the day's budget is spent, by this call."""
        with self._lock:
            now = self._clock()
            wanted: dict[str, list[int]] = {}
            for index, item in enumerate(items):
                if (name := self._target(item, now)) is not None:
                    wanted.setdefault(name, []).append(index)
            targets: dict[str, list[int]] = {}
            victims: dict[str, tuple[str, ...]] = {}
            for name, indices in wanted.items():
                targets[name], room = self._reserve(name, indices, items, now)
                victims[name] = room.victims
            return StorePlan(targets, victims)

    def take_leaving(self, ids: Sequence[ChunkId]) -> list[int]:
        """Which of `ids`, now written, shall leave RAM: those demoted, and those of a use case that wants it so.

        LMCache writes, and asks, once for each rank.
        """
        with self._lock:
            leaving = [
                index for index, chunk in enumerate(ids) if chunk in self._leaving or self._plan(chunk).leaves_ram
            ]
            for chunk in {ids[index] for index in leaving} & self._leaving.keys():
                self._leaving[chunk] -= 1
                if not self._leaving[chunk]:
                    del self._leaving[chunk]
            return leaving

    def stays_in_ram(self, ids: Sequence[ChunkId]) -> list[bool]:
        """Whether each of `ids`, just fetched for a request, is kept in RAM: it is recent, so its use case decides."""
        with self._lock:
            return [not self._plan(chunk).leaves_ram for chunk in ids]

    def worth_in_ram(self, items: Sequence[HeldItem]) -> list[float]:
        """How much of RAM each is worth, by which the least goes where RAM is short; 0 for what nobody asked for."""
        with self._lock:
            gap = self._sightings.usual_gap_seconds or 0.0
            return [self._worth_in_ram(item, gap) for item in items]

    def file_written(self, tier: str, name: str, size_bytes: int) -> None:
        with self._lock:
            self._counts["written_bytes"] += size_bytes
            self._writes.written(tier, name, size_bytes, self._clock())

    def files_used(self, tier: str, names: Sequence[str]) -> None:
        with self._lock:
            self._writes.touched(tier, names)

    def file_deleted(self, tier: str, name: str) -> None:
        with self._lock:
            self._writes.deleted(tier, name)

    def ram_written(self, size_bytes: int) -> None:
        with self._lock:
            self._writes.ram_written(size_bytes, self._clock())

    # --- transfers

    def transfer_begun(self, key: object, kind: TransferKind, tier: str, size_bytes: int, now: float) -> None:
        with self._lock:
            self._transfers.begin(key, kind, tier, size_bytes, now)

    def transfer_ended(self, key: object, now: float, size_bytes: int | None = None) -> None:
        """A fetch that nothing overlapped tells how fast the tier is now."""
        with self._lock:
            transfer = self._transfers.end(key, now, size_bytes)
            profile = self.profile
            if transfer is None or profile is None or not transfer.alone or transfer.kind != "fetch":
                return
            if (speed := self._speeds.get(transfer.tier)) and (tier := profile.tiers.get(transfer.tier)):
                expected = tier.fetch.seconds(transfer.size_bytes / profile.kv_bytes_per_token)
                speed.observe(expected, transfer.seconds, self._clock())

    def transfers_after(self, number: int) -> tuple[Transfer, ...]:
        with self._lock:
            return self._transfers.after(number)

    # --- notes, sessions, knowledge

    def put_note(self, ids: Sequence[ChunkId], note: Note) -> None:
        with self._lock:
            self._notes.put(ids, note)
            if note.session:
                self._sessions.ask(note.session, tuple(ids), self._clock())
            self._stay(ids)

    def expect(self, name: str) -> tuple[ChunkId, ...]:
        """The session is about to ask (somebody types): all its chunks, in order; none for one that is not known."""
        with self._lock:
            session = self._sessions.get(name)
            if session is None:
                return ()
            self._sessions.expect(session, self._clock())
            self._stay(session.chunks)
            return session.chunks

    def demote(self, name: str) -> list[ChunkId]:
        """The session is idle: the chunks of its own, which shall be written and then leave RAM."""
        with self._lock:
            chunks = self._own(name)
            self._sessions.set_state(name, "idle")
            self._leaving.update(dict.fromkeys(chunks, self.settings.world_size))
            return chunks

    def drop(self, name: str) -> list[ChunkId]:
        """The session is gone: the chunks of its own, to be deleted everywhere."""
        with self._lock:
            chunks = self._own(name)
            if session := self._sessions.drop(name):
                self._notes.drop_session(name, session.held)
            self._stay(chunks)
            return chunks

    def release_commit(self, commit: str) -> list[ChunkId]:
        """The commit was retired: chunks that held its knowledge alone, to be deleted everywhere."""
        with self._lock:
            freed = self._notes.release_commit(commit)
            self._sightings.forget(freed)
            return freed

    def due_sessions(self) -> list[tuple[str, SessionState]]:
        """Sessions that became idle or gone by the thresholds of the profile; none without a profile."""
        with self._lock:
            if self.profile is None:
                return []
            now = self._clock()
            due = self._sessions.changed(now, self._limits(self.profile, now))
            return [(session.name, state) for session, state in due]

    def silent_sessions(self) -> tuple[float | None, list[tuple[SilentSession, list[ChunkId]]]]:
        """How long a session may be silent and come again as others do, and those that were silent for longer, with the
        chunks of their own, at most a thousand. `None`, and no sessions, until a first session came again.
        """
        with self._lock:
            now, after = self._clock(), self._sessions.silent_after_seconds
            silent = [] if after is None else self._sessions.silent(after, now, _LISTED_SESSIONS)
            return after, [(SilentSession(one.name, now - one.last_used), self._own(one.name)) for one in silent]

    # --- upkeep

    def over_cap(self) -> dict[str, tuple[str, ...]]:
        """Files to delete now, by tier, so that the cap holds."""
        with self._lock:
            return self._writes.over_cap()

    def tidy(self) -> None:
        """Look at the folders again and keep the budget: now and then."""
        with self._lock:
            self._writes.tidy(self._clock())

    def status(self) -> dict[str, Any]:
        """For people and metrics: numbers and names only."""
        with self._lock:
            now = self._clock()
            return {
                "gates": {"load": self.load_gate, "store": self.store_gate},
                "profile": None
                if self.profile is None
                else {"model": self.profile.model, "made_at": self.profile.made_at},
                "profile_problem": self.profile_problem,
                "engine_requests": self._engine.requests(now),
                "model": self.settings.model,
                "chunk_tokens": self.settings.chunk_tokens,
                "tiers": {
                    tier.name: {
                        "role": tier.role,
                        "folder": str(tier.folder) if tier.folder else None,
                        **asdict(self._live()[tier.name]),
                    }
                    for tier in self.settings.tiers
                },
                **self._writes.status(now),
                "sessions": self._sessions.counts(),
                "noted_chunks": len(self._notes),
                "seen_chunks": len(self._sightings),
                "counts": dict(self._counts),
            }

    # --- inside the lock

    def _live(self) -> dict[str, LiveTier]:
        now = self._clock()
        per_token = self.profile.kv_bytes_per_token if self.profile else 0
        return {
            name: LiveTier(
                speed.slowdown(now), self._transfers.queued_bytes("fetch", name) / per_token if per_token else 0.0
            )
            for name, speed in self._speeds.items()
        }

    def _is_due(self, chunk: ChunkId) -> bool:
        needed = self._plan(chunk).after_sightings
        sighting = self._sightings.get(chunk)
        return needed is not None and sighting is not None and sighting.times >= needed

    def _plan(self, chunk: ChunkId) -> TierPlan:
        return tier_plan(
            self._notes.use_case(chunk), has_shared=any(tier.role == "shared" for tier in self.settings.tiers)
        )

    def _tier(self, role: str) -> TierSettings | None:
        return next((tier for tier in self.settings.tiers if tier.role == role), None)

    def _target(self, item: StoreItem, now: float) -> str | None:
        plan = self._plan(item.chunk)
        tier = self._tier(plan.role)
        if tier is None:
            return None
        demoted = item.chunk in self._leaving
        if self.store_gate and not (demoted and self._writes.has(tier.name, item.name)):
            price = self._writes.price(tier, now)
            decision = decide_store(
                self._sightings.get(item.chunk), plan, tier.name, self._sightings, self.profile, price, demoted=demoted
            )
            self._counts[f"store_gate_{decision.reason.replace(' ', '_').lower()}"] += 1
            if not decision.store:
                self._wait(item.chunk)
                return None
        return tier.name

    def _worth_in_ram(self, item: HeldItem, usual_gap_seconds: float) -> float:
        sighting = self._sightings.get(item.chunk)
        if sighting is None:
            return 0.0
        disk = self._tier("disk")
        return worth_in_ram(
            self.profile,
            sighting.chunks * self.settings.chunk_tokens,
            disk.name if disk and self._writes.has(disk.name, item.name) else None,
            chance=self._sightings.chance_of_return(sighting.times),
            silent_seconds=item.silent_seconds,
            usual_gap_seconds=usual_gap_seconds,
        )

    def _wait(self, chunk: ChunkId) -> None:
        self._waiting[chunk] = None
        self._waiting.move_to_end(chunk)
        while len(self._waiting) > _WAITING_CHUNKS:
            self._waiting.popitem(last=False)

    def _reserve(
        self, tier: str, indices: Sequence[int], items: Sequence[StoreItem], now: float
    ) -> tuple[list[int], Room]:
        """Heads first: a prompt of which the disk takes a part shall have its beginning there."""

        def place(index: int) -> int:
            sighting = self._sightings.get(items[index].chunk)
            return sighting.index if sighting else 0

        ordered = sorted(indices, key=place)
        room = self._writes.reserve(tier, [items[index] for index in ordered], now)
        self._counts["store_gate_budget"] += room.unaffordable
        self._counts["evicted_files"] += len(room.victims)
        return [index for index in ordered if items[index].name in room.names], room

    def _stay(self, ids: Iterable[ChunkId]) -> None:
        for chunk in ids:
            self._leaving.pop(chunk, None)

    def _own(self, name: str) -> list[ChunkId]:
        session = self._sessions.get(name)
        return self._notes.only_of_session(session.held, name) if session else []

    def _limits(self, profile: Profile, now: float) -> Callable[[Session], Thresholds]:
        """Of any session; what all of them have in common is computed once."""
        disk = self._tier("disk")
        disk_name = disk.name if disk else None
        ram_fill = self._writes.fill_seconds(RAM, now)
        disk_fill = self._writes.fill_seconds(disk_name, now)
        reused = self._sightings.chance_of_another(1)

        def limits(session: Session) -> Thresholds:
            tokens = max(1, len(session.chunks)) * self.settings.chunk_tokens
            return thresholds(profile, tokens, disk_name, ram_fill=ram_fill, disk_fill=disk_fill, reused=reused)

        return limits
