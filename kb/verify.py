"""Verify: read everything that branches and tags reach, and derive every hash again.

What is broken does not stop the walk: each broken or missing object is told once, with what reaches it. What lies
behind a broken object cannot be known, and is not told.
Source of the idea: Git's `fsck`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from kb.codec import decode_item
from kb.edges import Edge, edges
from kb.errors import KnowledgeError, ObjectCorrupt
from kb.knowledge_base import KnowledgeBase
from kb.objects import Tag, is_intact, unpack, unpack_commit

Fault = Literal["missing", "corrupt", "wrong kind", "unreadable", "misplaced"]
Progress = Callable[[int], None]
"""Told from time to time how many objects were checked."""

BATCH = 500


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken object. `reached_by` leads to it: the ref, the commit, the path in the tree, the item's id."""

    fault: Fault
    object_id: str
    tag: Tag
    reached_by: tuple[str, ...]
    detail: str

    @property
    def dangling_ref(self) -> bool:
        """Whether a branch or tag itself names nothing that is there."""
        return self.tag == "commit" and self.fault in ("missing", "wrong kind") and len(self.reached_by) == 1


@dataclass(slots=True)
class Verification:
    """`checked` counts objects by tag, broken ones included."""

    checked: dict[Tag, int] = field(default_factory=lambda: {"commit": 0, "tree": 0, "item": 0, "reach": 0})
    problems: list[Problem] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not self.problems


@dataclass(frozen=True, slots=True)
class _Found:
    """An object and how the walk came to it: from the object `by`, or from a ref."""

    edge: Edge
    by: str | None
    ref: str = ""


def verify(base: KnowledgeBase, *, progress: Progress | None = None) -> Verification:
    """Walk the whole base. Never raises for what is stored wrongly; changes nothing."""
    walk = _Walk(base)
    while walk.step():
        if progress:
            progress(sum(walk.result.checked.values()))
    return walk.result


class _Walk:
    """Breadth first, so that an object is told with a short way to it; objects are read many at a time."""

    def __init__(self, base: KnowledgeBase) -> None:
        self._base, self.result = base, Verification()
        refs = base.store.refs(base.id)
        self._known: dict[str, _Found] = {}
        self._queue: deque[str] = deque()
        for ref in sorted(refs):
            self._find(_Found(Edge(refs[ref], "commit"), None, ref))

    def step(self) -> bool:
        """Check some objects; whether there were any."""
        batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
        read = self._base.store.read(self._base.id, batch)
        for object_id in batch:
            self._check(self._known[object_id], read.get(object_id))
        return bool(batch)

    def _find(self, found: _Found) -> None:
        known = self._known.get(found.edge.to)
        if known is None:
            self._known[found.edge.to] = found
            self._queue.append(found.edge.to)
        elif known.edge.tag != found.edge.tag:
            self._tell("wrong kind", found, f"is named as {found.edge.tag} here, and as {known.edge.tag} elsewhere")
        elif found.edge.tag == "item" and known.edge.label != found.edge.label:
            self._tell("misplaced", found, f"is item '{known.edge.label}' elsewhere")

    def _check(self, found: _Found, data: bytes | None) -> None:
        tag, object_id = found.edge.tag, found.edge.to
        self.result.checked[tag] += 1
        if data is None:
            self._tell("missing", found, "is missing")
            return
        if not is_intact(object_id, data):
            self._tell("corrupt", found, "does not hash to its name")
            return
        try:
            self._check_content(found, data)
            for edge in edges(self._base.name, object_id, tag, data):
                self._find(_Found(edge, object_id))
        except ObjectCorrupt as exc:
            self._tell("wrong kind", found, exc.problem)
        except (ValueError, KeyError, TypeError, AttributeError, KnowledgeError) as exc:
            self._tell("unreadable", found, f"cannot be read: {type(exc).__name__}: {exc}")

    def _check_content(self, found: _Found, data: bytes) -> None:
        name, object_id = self._base.name, found.edge.to
        if found.edge.tag == "item":
            item = decode_item(unpack(name, object_id, "item", data))
            if item.id != found.edge.label:
                self._tell("misplaced", found, f"is item '{item.id}'")
        elif found.edge.tag == "commit":
            commit = unpack_commit(name, object_id, data)
            if commit.base != str(self._base.id):
                self._tell("misplaced", found, f"is a commit of the base '{commit.base}'")

    def _tell(self, fault: Fault, found: _Found, detail: str) -> None:
        self.result.problems.append(Problem(fault, found.edge.to, found.edge.tag, self._way_to(found), detail))

    def _way_to(self, found: _Found) -> tuple[str, ...]:
        """The ref, the nearest commit, the tree path below it, the item. Earlier commits of the ref are left out."""
        way: list[str] = []
        path = ""
        at: _Found | None = found
        while at is not None:
            tag, label = at.edge.tag, at.edge.label
            if tag == "item":
                way.append(label)
            elif tag == "tree":
                path = f"/{label}{path}" if label else path
                if at.by is not None and self._known[at.by].edge.tag == "commit":
                    way.append(f"tree {path or '/'}")
            elif at is not found and not any(part.startswith("commit ") for part in way):
                way.append(f"commit {at.edge.to}")
            if at.by is None:
                way.append(at.ref)
            at = self._known[at.by] if at.by is not None else None
        return tuple(reversed(way))
