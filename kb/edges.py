"""What an object names: the edges of the graph that `verify` and `gc` walk. A commit names its tree, its
parents and its items' reach, a tree node its children or its items' hashes, an item and a reach nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from kb.item_reach import unpack_reach
from kb.objects import Tag, unpack, unpack_commit

TAGS: tuple[Tag, ...] = ("item", "tree", "commit", "reach")


@dataclass(frozen=True, slots=True)
class Edge:
    """The object `to`, which must be a `tag`; `label` is an item's id, or a child's slot in its node."""

    to: str
    tag: Tag
    label: str = ""


def edges(base: str, object_id: str, tag: Tag, data: bytes) -> Iterator[Edge]:
    """What an object of a known tag names. Raises `ObjectCorrupt` where the bytes are not of that tag.

    Bytes of the right tag whose content is not what that tag holds raise `ValueError`, `KeyError`, `TypeError` or
    `AttributeError`.
    """
    if tag == "item":
        unpack(base, object_id, tag, data)
    elif tag == "commit":
        commit = unpack_commit(base, object_id, data)
        yield Edge(commit.tree, "tree")
        yield from (Edge(parent, "commit") for parent in commit.parents)
        if commit.reach is not None:
            yield Edge(commit.reach, "reach")
    elif tag == "reach":
        unpack_reach(base, object_id, data)
    else:
        content = json.loads(unpack(base, object_id, tag, data))
        if "entries" in content:
            yield from (Edge(item_hash, "item", item) for item, item_hash in content["entries"].items())
        else:
            for slot, (node, _) in content["children"].items():
                yield Edge(node, "tree", f"{int(slot):x}")


def tag_of(data: bytes) -> Tag | None:
    """What an object says it is."""
    for tag in TAGS:
        if data.startswith(f"kvasir {tag} 1\n".encode()):
            return tag
    return None
