"""Garbage collection: delete the objects that nothing can reach.

Kept is what branches and tags reach, what the extra roots reach (commits and items that traces, sessions and
proposals name), and what objects younger than the grace period reach: someone may be reading them. So an object that
is there never names one that is gone.

Writers go on while the marking runs. Then they are held off for as long as it takes to mark what they added
meanwhile and to delete; a writer that moves a ref checks, under the same lock, that its commit is still there.
Source of the idea: Git's `gc` and `prune`, which keep recent objects and what these reach.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from kb.edges import Edge, edges, tag_of
from kb.errors import KnowledgeError, ObjectCorrupt
from kb.knowledge_base import KnowledgeBase
from kb.objects import is_intact
from kb.store import StoredObject

GRACE_SECONDS = 2 * 3600.0
BATCH = 500

Progress = Callable[[int], None]
"""Told from time to time how many objects were marked as reachable."""


@dataclass(frozen=True, slots=True)
class Collected:
    """`deleted` of `objects` went, `deleted_bytes` of `total_bytes`; of a dry run: would go."""

    objects: int
    total_bytes: int
    deleted: int
    deleted_bytes: int
    dry_run: bool


def gc(
    base: KnowledgeBase,
    *,
    keep: Iterable[str] = (),
    grace_seconds: float = GRACE_SECONDS,
    dry_run: bool = False,
    now: Callable[[], float] = time.time,
    progress: Progress | None = None,
) -> Collected:
    """Delete what nothing reaches. `keep` holds ids of commits and items that stay with all they reach.

    Ids of `keep` that the base does not hold are passed over. Raises `ObjectCorrupt`, and deletes nothing, where what
    must be kept is broken: a broken object hides what it names.
    """
    wanted = frozenset(keep)
    young_after = now() - grace_seconds
    marks = _Marks(base, progress)
    listed = list(base.store.objects(base.id))
    marks.mark_all(wanted, listed, young_after)
    if dry_run:
        return _collected(listed, marks.unmarked(listed), dry_run=True)
    # What was written since the marking began is young on any clock but one that was set back.
    doomed = marks.unmarked(listed)
    with base.store.writers_held(base.id) as delete:
        known = {each.id for each in listed}
        added = [each for each in base.store.objects(base.id, written_after=young_after) if each.id not in known]
        marks.mark_all(wanted, added, young_after)
        gone = [each for each in doomed if each.id not in marks.marked]
        delete([each.id for each in gone])
    return _collected(listed + added, gone, dry_run=False)


def _collected(objects: Collection[StoredObject], gone: Collection[StoredObject], *, dry_run: bool) -> Collected:
    return Collected(
        len(objects), sum(each.size for each in objects), len(gone), sum(each.size for each in gone), dry_run
    )


class _Marks:
    """Ids that are reachable. Marking again adds what has become reachable since."""

    def __init__(self, base: KnowledgeBase, progress: Progress | None) -> None:
        self._base, self._progress = base, progress
        self.marked: set[str] = set()

    def mark_all(self, keep: Collection[str], objects: Iterable[StoredObject], young_after: float) -> None:
        """Mark from the refs as they are now, from `keep`, and from those of `objects` that are young."""
        refs = [Edge(commit, "commit") for commit in self._base.store.refs(self._base.id).values()]
        self._mark(refs, strict=True)
        self._mark(self._roots(keep), strict=True)
        self._mark(self._roots([each.id for each in objects if each.written_at > young_after]), strict=False)

    def unmarked(self, objects: Iterable[StoredObject]) -> list[StoredObject]:
        return [each for each in objects if each.id not in self.marked]

    def _roots(self, object_ids: Iterable[str]) -> list[Edge]:
        """Those that are there, as what they say they are."""
        unknown = [object_id for object_id in object_ids if object_id not in self.marked]
        found: list[Edge] = []
        for start in range(0, len(unknown), BATCH):
            read = self._base.store.read(self._base.id, unknown[start : start + BATCH])
            for object_id, data in read.items():
                tag = tag_of(data)
                if tag is None:
                    # Not ours to judge: what cannot be told is kept.
                    self.marked.add(object_id)
                else:
                    found.append(Edge(object_id, tag))
        return found

    def _mark(self, roots: Iterable[Edge], *, strict: bool) -> None:
        """Mark all that is reachable; with `strict`, raise `ObjectCorrupt` for what is broken, else go around it."""
        queue = [edge for edge in roots if edge.to not in self.marked]
        self.marked.update(edge.to for edge in queue)
        while queue:
            batch, queue = queue[-BATCH:], queue[:-BATCH]
            read = self._base.store.read(self._base.id, [edge.to for edge in batch])
            for edge in batch:
                for found in self._named_by(edge, read.get(edge.to), strict):
                    if found.to not in self.marked:
                        self.marked.add(found.to)
                        # An item names nothing, so it need not be read.
                        queue += [found] if found.tag != "item" else []
            if self._progress:
                self._progress(len(self.marked))

    def _named_by(self, edge: Edge, data: bytes | None, strict: bool) -> list[Edge]:
        name = self._base.name
        try:
            if data is None:
                raise ObjectCorrupt(name, edge.to, "is missing")
            if not is_intact(edge.to, data):
                raise ObjectCorrupt(name, edge.to, "does not hash to its name")
            return list(edges(name, edge.to, edge.tag, data))
        except (ValueError, KeyError, TypeError, AttributeError, KnowledgeError) as exc:
            if not strict:
                return []
            if isinstance(exc, ObjectCorrupt):
                raise
            raise ObjectCorrupt(name, edge.to, f"cannot be read: {exc}") from exc
