"""Conflicts of a merge as they are shown over HTTP and by `--json`, and the resolutions that answer them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kb.codec import item_to_dict
from kb.diff import ItemChange
from kb.errors import MergeConflicts
from kb.item_merge import BothAdded, BothChanged, MergeConflict
from kb.items import Item


def conflicts_view(error: MergeConflicts) -> dict[str, Any]:
    """`ours` is the head that the resolutions are made for; a second call may name it as `onto`."""
    return {"ours": error.ours, "theirs": error.theirs, "conflicts": [conflict_view(each) for each in error.conflicts]}


def conflict_view(conflict: MergeConflict) -> dict[str, Any]:
    """`key` names the conflict in a resolution. Values are the field's, or whole items; `null` is absent."""
    field = base = None
    if isinstance(conflict, BothChanged):
        type_, field, base = "both_changed", conflict.field, conflict.base
    elif isinstance(conflict, BothAdded):
        type_ = "both_added"
    else:
        type_, base = "changed_and_removed", conflict.base
    sides = {"base": base, "ours": conflict.ours, "theirs": conflict.theirs}
    shown = {name: item_to_dict(side) if isinstance(side, Item) else side for name, side in sides.items()}
    return {"type": type_, "key": conflict.key, "item": conflict.item, "field": field, **shown}


def conflict_lines(conflicts: Sequence[MergeConflict]) -> list[str]:
    """For people: each conflict, and below it what each side has."""
    lines: list[str] = []
    for conflict in conflicts:
        lines.append(f"! {conflict.key}  {conflict.summary}")
        if isinstance(conflict, BothChanged):
            values = (("base", conflict.base), ("ours", conflict.ours), ("theirs", conflict.theirs))
            lines += [f"    {name:<6} {value!r}" for name, value in values]
        elif isinstance(conflict, BothAdded):
            between = ItemChange(conflict.item, conflict.ours, conflict.theirs)
            lines += [f"    {each.field}: ours {each.old!r}, theirs {each.new!r}" for each in between.fields]
    return lines
