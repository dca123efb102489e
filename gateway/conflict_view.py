"""Conflicts of a merge as they are shown over HTTP and by `--json`, and the resolutions that answer them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from kb.codec import item_to_dict
from kb.cross_conflicts import AnyConflict, CrossConflict, MetricDefinedTwice, SchemaRemoved
from kb.diff import ItemChange
from kb.errors import MergeConflicts
from kb.item_merge import BothAdded, BothChanged
from kb.items import Item, Metric


def conflicts_view(error: MergeConflicts) -> dict[str, Any]:
    """`ours` is the head that the resolutions are made for; a second call may name it as `onto`."""
    return {"ours": error.ours, "theirs": error.theirs, "conflicts": [conflict_view(each) for each in error.conflicts]}


def conflict_view(conflict: AnyConflict) -> dict[str, Any]:
    """`key` names the conflict in a resolution. Values are the field's, or whole items; `null` is absent.

    Of a conflict between two items, `other` is the second, and each side is the item that it wrote.
    """
    if isinstance(conflict, (MetricDefinedTwice, SchemaRemoved)):
        return _pair_view(conflict)
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


def _pair_view(conflict: CrossConflict) -> dict[str, Any]:
    item, other = conflict.items
    told: dict[str, Any] = {"key": conflict.key, "item": item, "field": None, "other": other, "base": None}
    if isinstance(conflict, MetricDefinedTwice):
        ours, theirs = item_to_dict(conflict.ours), item_to_dict(conflict.theirs)
        return {"type": "metric_defined_twice", **told, "ours": ours, "theirs": theirs}
    removing = "theirs" if conflict.changed_by == "ours" else "ours"
    removed = item_to_dict(conflict.removed) if conflict.removed else None
    sides: dict[str, Any] = {conflict.changed_by: item_to_dict(conflict.changed), removing: removed}
    lost = [asdict(each) for each in conflict.lost]
    return {"type": "schema_removed", **told, "lost": lost, "ours": sides["ours"], "theirs": sides["theirs"]}


def conflict_lines(conflicts: Sequence[AnyConflict]) -> list[str]:
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
        elif isinstance(conflict, MetricDefinedTwice):
            sides = (("ours", conflict.ours), ("theirs", conflict.theirs))
            lines += [f"    {name:<6} {_computed(item)!r}" for name, item in sides]
        elif isinstance(conflict, SchemaRemoved):
            lines += [f"    {each}" for each in conflict.lost]
    return lines


def _computed(item: Item) -> str:
    assert isinstance(item.body, Metric), "a metric"
    return item.body.expression or item.body.definition
