"""What the gateway says about chunks: use case, session, knowledge commit.

This travels beside the cache, not in the salt: a salt for each class or session would give every one of them a copy
of the knowledge that they share.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from backend.tiers.sightings import ChunkId
from backend.tiers.use_case import UseCase


@dataclass(frozen=True)
class Note:
    """One request's note. The first `knowledge_chunks` of its chunks hold knowledge of `commit` and no conversation."""

    use_case: UseCase | None = None
    session: str | None = None
    commit: str | None = None
    knowledge_chunks: int = 0


_FEW_SESSIONS = 8
"""A text that more share, such as the system text of a client, is nobody's own; their names need not be kept."""


@dataclass(frozen=True)
class ChunkNote:
    """All that was said about one chunk. `sessions` are kept while they are few, and not for knowledge."""

    use_cases: frozenset[UseCase] = frozenset()
    sessions: frozenset[str] = frozenset()
    commits: frozenset[str] = frozenset()
    shared: bool = False

    def noted(self, use_case: UseCase | None, session: str | None, commit: str | None) -> ChunkNote:
        sessions = self.sessions | {session} if session and not commit and not self.shared else self.sessions
        shared = self.shared or len(sessions) > _FEW_SESSIONS
        return ChunkNote(
            use_cases=self.use_cases | {use_case} if use_case else self.use_cases,
            sessions=frozenset() if shared else sessions,
            commits=self.commits | {commit} if commit else self.commits,
            shared=shared,
        )


_NOTHING = ChunkNote()


class Notes:
    """Notes of the last `capacity` chunks. Not thread-safe: its owner locks.

    `default` is the use case of a chunk of which none is said.
    """

    def __init__(self, capacity: int = 200_000, default: UseCase | None = None) -> None:
        self._capacity = capacity
        self._default = default
        self._notes: OrderedDict[ChunkId, ChunkNote] = OrderedDict()

    def __len__(self) -> int:
        return len(self._notes)

    def put(self, ids: Sequence[ChunkId], note: Note) -> None:
        for index, chunk in enumerate(ids):
            before = self._notes.pop(chunk, _NOTHING)
            commit = note.commit if index < note.knowledge_chunks else None
            self._notes[chunk] = before.noted(note.use_case, note.session, commit)
        while len(self._notes) > self._capacity:
            self._notes.popitem(last=False)

    def use_case(self, chunk: ChunkId) -> UseCase | None:
        """`None` for a chunk of several use cases: it is kept as if nothing were known, in RAM and on disk.

        So is the knowledge of chats. A chat goes to disk once its session is idle, and knowledge is of no session.
        """
        note = self._notes.get(chunk, _NOTHING)
        case = next(iter(note.use_cases)) if len(note.use_cases) == 1 else None
        if not note.use_cases:
            case = self._default
        return None if case == "chat" and note.commits else case

    def only_of_session(self, ids: Iterable[ChunkId], session: str) -> list[ChunkId]:
        """Those of `ids` that no other session uses and that hold no knowledge."""
        alone = frozenset({session})
        notes = ((chunk, self._notes.get(chunk, _NOTHING)) for chunk in ids)
        return [chunk for chunk, note in notes if note.sessions == alone and not note.commits]

    def drop_session(self, session: str, ids: Iterable[ChunkId]) -> None:
        for chunk in ids:
            if note := self._notes.get(chunk):
                self._notes[chunk] = replace(note, sessions=note.sessions - {session})

    def release_commit(self, commit: str) -> list[ChunkId]:
        """Chunks that held knowledge of `commit` and of no other commit. Their notes go."""
        freed: list[ChunkId] = []
        for chunk, note in list(self._notes.items()):
            if commit not in note.commits:
                continue
            left = note.commits - {commit}
            if left:
                self._notes[chunk] = replace(note, commits=left)
            else:
                del self._notes[chunk]
                freed.append(chunk)
        return freed
