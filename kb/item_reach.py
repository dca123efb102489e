"""Reach: how much of the recent traffic an item was needed in, in thousandths, as it was frozen with a commit.

What stands in front in a prompt should be what most prompts have, since a prefix cache reuses beginnings alone. But
counters move with every question, and an order that moves with them would reuse nothing. So reach is an object of the
store that a commit names, and that commits on top of it name as well until one freezes another: the order of a
prompt's items is a function of the commit, and a commit of other items does not change it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kb.codec import canonical_json
from kb.objects import pack, unpack

WHOLE = 1000
"""The reach of an item that every request needs."""


def pack_reach(reach: Mapping[str, int]) -> tuple[str, bytes]:
    """The object's id and bytes. Items that nothing needs are left out: it is what an item has that is not named."""
    assert all(0 <= share <= WHOLE for share in reach.values()), "reach is in thousandths"
    return pack("reach", canonical_json({item: share for item, share in reach.items() if share}))


def unpack_reach(base: str, object_id: str, data: bytes) -> dict[str, int]:
    """Raises `ObjectCorrupt` where the bytes are of another tag, `ValueError` where they hold something else."""
    content: Any = json.loads(unpack(base, object_id, "reach", data))
    if not isinstance(content, dict) or not all(isinstance(share, int) for share in content.values()):
        raise ValueError("reach is a number for each item")
    return content
