"""Content-addressed objects: an object's id is a tagged hash over its bytes.

The tag keeps an item from ever passing as a commit. Source of the idea: Git's object database.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kb.codec import canonical_json
from kb.errors import ObjectCorrupt

Tag = Literal["item", "tree", "commit", "reach"]


def pack(tag: Tag, content: bytes) -> tuple[str, bytes]:
    """The object's id (64 hex digits) and its bytes as they are stored."""
    data = f"kvasir {tag} 1\n".encode() + content
    return hashlib.sha256(data).hexdigest(), data


def unpack(base: str, object_id: str, tag: Tag, data: bytes) -> bytes:
    """The content. Raises `ObjectCorrupt` where the bytes are not of that tag."""
    head, newline, content = data.partition(b"\n")
    if not newline or head != f"kvasir {tag} 1".encode():
        raise ObjectCorrupt(base, object_id, f"is no {tag}")
    return content


def is_intact(object_id: str, data: bytes) -> bool:
    return hashlib.sha256(data).hexdigest() == object_id


def intact(base: str, object_id: str, data: bytes | None) -> bytes:
    """What was read, if it is what was written. Raises `ObjectCorrupt`."""
    if data is None:
        raise ObjectCorrupt(base, object_id, "is missing")
    if not is_intact(object_id, data):
        raise ObjectCorrupt(base, object_id, "does not hash to its name")
    return data


@dataclass(frozen=True, slots=True)
class Commit:
    """An immutable state of all items of one base. `tree` is the root of its fan-out tree.

    `evidence` says why it was let in (request, proposal, replay); `created_at` is ISO 8601 in UTC; `reach` names the
    items' reach, if it was ever frozen.
    """

    id: str
    base: str
    tree: str
    parents: tuple[str, ...]
    author: str
    message: str
    created_at: str
    evidence: Mapping[str, str]
    reach: str | None = None

    @property
    def short_id(self) -> str:
        return self.id[:12]

    @property
    def parent(self) -> str | None:
        return self.parents[0] if self.parents else None


def pack_commit(
    base: str,
    tree: str,
    parents: tuple[str, ...],
    *,
    author: str,
    message: str,
    created_at: str,
    evidence: Mapping[str, str],
    reach: str | None = None,
) -> tuple[Commit, bytes]:
    fields: dict[str, Any] = {
        "base": base,
        "tree": tree,
        "parents": list(parents),
        "author": author,
        "message": message,
        "created_at": created_at,
        "evidence": dict(evidence),
        # Left out where there is none: the ids of such commits are what they always were.
        **({"reach": reach} if reach else {}),
    }
    commit_id, data = pack("commit", canonical_json(fields))
    return Commit(commit_id, base, tree, parents, author, message, created_at, dict(evidence), reach), data


def unpack_commit(base: str, commit_id: str, data: bytes) -> Commit:
    fields = json.loads(unpack(base, commit_id, "commit", data))
    fields["parents"] = tuple(fields["parents"])
    return Commit(id=commit_id, **fields)
