"""Three-way merge of one item: field by field, and a typed conflict where both sides changed the same field.

Lists merge element by element: columns and entities by their name, texts (refs, `depends_on`, …) by themselves.
Fields that only mean something together merge as one, so that no merge makes a pair that nobody wrote: a question
and its answer, the columns of a join, who confirmed and when.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from kb.codec import item_from_dict, item_to_dict
from kb.introspect import schema_fingerprint
from kb.items import Item, Schema

Side = Literal["ours", "theirs", "base"]
Resolution: TypeAlias = Side | Literal["both"] | Item
"""What settles a conflict: the item (or the field) as one side has it, or a whole item in its place. `both` keeps what
both sides did, where the conflict is between two items.
"""

_WHOLE = {
    "success": ("body",),
    "template": ("body",),
    "gotcha": ("body",),
    "relationship": ("body",),
}
"""Fields of a kind that merge as one, beside `provenance`, which always does."""


@dataclass(frozen=True, slots=True)
class BothChanged:
    """Both sides changed a field, differently. `field` is a dotted path: `body.columns.id.type`. `None` is absent."""

    item: str
    field: str
    base: Any
    ours: Any
    theirs: Any

    @property
    def key(self) -> str:
        """What names it in a resolution."""
        return f"{self.item}:{self.field}"

    @property
    def summary(self) -> str:
        return f"both changed {self.item}, field {self.field}"


@dataclass(frozen=True, slots=True)
class ChangedAndRemoved:
    """One side changed the item; the other, whose value is `None`, removed it. A disputed `base` is `None` too."""

    item: str
    base: Item | None
    ours: Item | None
    theirs: Item | None

    @property
    def key(self) -> str:
        return self.item

    @property
    def summary(self) -> str:
        sides = ("removed", "changed") if self.ours is None else ("changed", "removed")
        return f"{self.item} was {sides[0]} by ours and {sides[1]} by theirs"


@dataclass(frozen=True, slots=True)
class BothAdded:
    """Both sides added an item of this id, and the two differ; or their base is disputed."""

    item: str
    ours: Item
    theirs: Item

    @property
    def key(self) -> str:
        return self.item

    @property
    def summary(self) -> str:
        return f"both added {self.item}"


MergeConflict: TypeAlias = BothChanged | ChangedAndRemoved | BothAdded


@dataclass(frozen=True, slots=True)
class MergedItem:
    """`item` is `None` where the merge removes it, and where there are conflicts."""

    item: Item | None
    conflicts: tuple[MergeConflict, ...] = ()


@dataclass(frozen=True, slots=True)
class Disputed:
    """The base of an item whose histories were merged into each other before, with different outcomes."""


def merge_items(
    item_id: str,
    base: Item | Disputed | None,
    ours: Item | None,
    theirs: Item | None,
    fields: Mapping[str, Side] | None = None,
) -> MergedItem:
    """Merge what differs between three states of one item, `None` being absent.

    `fields` says which side settles a field that would be in conflict, by its dotted path.
    """
    if ours == theirs or theirs == base:
        return MergedItem(ours)
    if ours == base:
        return MergedItem(theirs)
    if ours is None or theirs is None:
        before = None if isinstance(base, Disputed) else base
        return MergedItem(None, (ChangedAndRemoved(item_id, before, ours, theirs),))
    if base is None or isinstance(base, Disputed):
        return MergedItem(None, (BothAdded(item_id, ours, theirs),))
    merge = _Merge(item_id, _WHOLE.get(ours.kind, ()), fields or {})
    merged = merge.value("", item_to_dict(base), item_to_dict(ours), item_to_dict(theirs))
    merge.derive_fingerprint(merged, ours, theirs)
    if merge.conflicts:
        return MergedItem(None, tuple(merge.conflicts))
    return MergedItem(item_from_dict(merged))


class _Absent:
    """The value of a list element or field that a side does not have."""


_ABSENT = _Absent()


class _Merge:
    """One item's merge: collects the conflicts that no resolution settles."""

    def __init__(self, item: str, whole: Sequence[str], fields: Mapping[str, Side]) -> None:
        self.item, self._whole, self._fields = item, ("provenance", *whole), fields
        self.conflicts: list[BothChanged] = []

    def value(self, path: str, base: Any, ours: Any, theirs: Any) -> Any:
        if _equal(ours, theirs) or _equal(theirs, base):
            return ours
        if _equal(ours, base):
            return theirs
        if path not in self._whole:
            if all(isinstance(side, Mapping) for side in (base, ours, theirs)):
                return self._mapping(path, base, ours, theirs)
            if _are_keyed(base, ours, theirs):
                return self._elements(path, _keyed(base), _keyed(ours), _keyed(theirs), base, ours, theirs)
        return self._conflict(path, base, ours, theirs)

    def derive_fingerprint(self, merged: dict[str, Any], ours: Item, theirs: Item) -> None:
        """Where both sides' fingerprint was that of their columns, so is the merged table's."""
        sides = [(each.body, each.schema_fingerprint) for each in (ours, theirs)]
        if any(not isinstance(body, Schema) or mark != schema_fingerprint(body) for body, mark in sides):
            return
        others = [conflict for conflict in self.conflicts if conflict.field != "schema_fingerprint"]
        if not others:
            body = item_from_dict(merged).body
            assert isinstance(body, Schema)
            merged["schema_fingerprint"] = schema_fingerprint(body)
        self.conflicts = others

    def _mapping(self, path: str, base: Any, ours: Any, theirs: Any) -> dict[str, Any]:
        keys = [*ours, *(key for key in theirs if key not in ours)]
        merged = {
            key: self.value(_join(path, key), *(side.get(key, _ABSENT) for side in (base, ours, theirs)))
            for key in keys
        }
        return {key: value for key, value in merged.items() if value is not _ABSENT}

    def _elements(
        self, path: str, base: Any, ours: Any, theirs: Any, whole_base: Any, whole_ours: Any, whole_theirs: Any
    ) -> Any:
        order = _merged_order(list(base), list(ours), list(theirs))
        if order is None:
            return self._conflict(path, whole_base, whole_ours, whole_theirs)
        merged = [
            self.value(_join(path, key), *(side.get(key, _ABSENT) for side in (base, ours, theirs))) for key in order
        ]
        return [value for value in merged if value is not _ABSENT]

    def _conflict(self, path: str, base: Any, ours: Any, theirs: Any) -> Any:
        side = self._fields.get(path)
        if side is not None:
            return {"base": base, "ours": ours, "theirs": theirs}[side]
        told = (None if value is _ABSENT else value for value in (base, ours, theirs))
        self.conflicts.append(BothChanged(self.item, path, *told))
        return ours


def _equal(one: Any, other: Any) -> bool:
    # 1 == True and 1 == 1.0 in Python; as JSON they differ, and so do the items' hashes.
    return type(one) is type(other) and bool(one == other)


def _are_keyed(*sides: Any) -> bool:
    """Whether all are lists whose elements are told apart by their name, or by themselves if they are texts."""
    for side in sides:
        if not isinstance(side, (list, tuple)):
            return False
        keys = list(_keys(side))
        if None in keys or len(set(keys)) != len(keys):
            return False
    return True


def _keyed(side: Sequence[Any]) -> dict[str, Any]:
    return {str(key): element for key, element in zip(_keys(side), side, strict=True)}


def _keys(side: Sequence[Any]) -> Iterator[str | None]:
    for element in side:
        key = element.get("name") if isinstance(element, Mapping) else element
        yield key if isinstance(key, str) else None


def _merged_order(base: list[str], ours: list[str], theirs: list[str]) -> list[str] | None:
    """All keys of both sides, each in its place; `None` where both reordered what they share, differently."""
    shared = set(base) & set(ours) & set(theirs)
    before, left, right = ([key for key in side if key in shared] for side in (base, ours, theirs))
    if left != before and right != before and left != right:
        return None
    lead, other = (theirs, ours) if left == before else (ours, theirs)
    order = list(lead)
    for index, key in enumerate(other):
        if key not in order:
            # After what stands before it on its own side.
            place = order.index(other[index - 1]) + 1 if index else 0
            order.insert(place, key)
    return order


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
