"""Conflicts between different items of the two sides of a merge: each side is right by itself, and together they are
not. `merge.py` settles them, as it does those within one item.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from kb.dependencies import dependencies, tables_of
from kb.item_merge import MergeConflict
from kb.items import Item, LostColumn, Metric, Schema
from kb.schema_loss import Offer, losses
from kb.words import spoken

SideName = Literal["ours", "theirs"]
Items = Mapping[str, Item | None]
"""By id; `None` is absent."""


@dataclass(frozen=True, slots=True)
class MetricDefinedTwice:
    """Each side brought a metric of this name, and the two are computed differently."""

    ours: Item
    theirs: Item
    name: str

    @property
    def items(self) -> tuple[str, str]:
        return self.ours.id, self.theirs.id

    @property
    def key(self) -> str:
        return "/".join(self.items)

    @property
    def summary(self) -> str:
        return f"'{self.name}' is {self.ours.id} by ours and {self.theirs.id} by theirs, computed differently"


@dataclass(frozen=True, slots=True)
class SchemaRemoved:
    """One side changed or added an item, and the other took away what it reads: `lost`, of the table `schema`.

    `removed` is the table's item on the side that did so; `None` is absent.
    """

    changed: Item
    changed_by: SideName
    schema: str
    removed: Item | None
    lost: tuple[LostColumn, ...]

    @property
    def items(self) -> tuple[str, str]:
        return self.changed.id, self.schema

    @property
    def key(self) -> str:
        return "/".join(self.items)

    @property
    def summary(self) -> str:
        other = "theirs" if self.changed_by == "ours" else "ours"
        told = "; ".join(str(each) for each in self.lost)
        return f"{self.changed.id} was changed by {self.changed_by}, and {other} changed what it reads: {told}"


CrossConflict: TypeAlias = MetricDefinedTwice | SchemaRemoved
AnyConflict: TypeAlias = MergeConflict | CrossConflict


@dataclass(frozen=True, slots=True)
class SideChange:
    """What one side changed since the base: items by id, before and after, and all tables of that side."""

    name: SideName
    old: Items
    new: Items
    schemas: Mapping[str, Item]

    def written(self) -> Iterator[Item]:
        """The items that are in use and say something else than in the base. A quarantine alone says nothing."""
        for key, item in self.new.items():
            if item is not None and item.status in ("active", "proposed") and not isinstance(item.body, Schema):
                old = self.old.get(key)
                if old is None or _said(old) != _said(item):
                    yield item


def metrics_defined_twice(ours: SideChange, theirs: SideChange) -> Iterator[MetricDefinedTwice]:
    """Pairs of metrics that share a name and are no pair in the base already."""
    mine, others = ([item for item in side.written() if isinstance(item.body, Metric)] for side in (ours, theirs))
    both = {item.id for item in mine} & {item.id for item in others}
    called: dict[str, list[Item]] = {}
    for item in mine:
        for name in _names(item):
            called.setdefault(name, []).append(item)
    for item in others:
        found = {
            other.id: (other, name) for name in sorted(_names(item), reverse=True) for other in called.get(name, ())
        }
        for other, name in found.values():
            # What both sides wrote is merged field by field, and a pair of it is one that a side made by itself.
            new = both.isdisjoint({item.id, other.id}) and not _pair_of_base(ours, theirs, other, item)
            if new and _computed(other) != _computed(item):
                yield MetricDefinedTwice(other, item, _names(item)[name])


def schemas_removed(changed: SideChange, removing: SideChange) -> Iterator[SchemaRemoved]:
    """The items that one side wrote and that read what the other took away."""
    before = {key: item for key, item in removing.old.items() if item is not None and isinstance(item.body, Schema)}
    after = {key: item for key, item in removing.new.items() if item is not None and isinstance(item.body, Schema)}
    found = losses(before, after)
    if not found:
        return
    offer = Offer.of(removing.schemas.values())
    tables = tables_of((*before.values(), *changed.schemas.values()))
    for item in changed.written():
        reads = dependencies(item, tables)
        taken = [loss for loss in found if offer.misses(loss, item, reads)]
        for schema in sorted({loss.schema for loss in taken}):
            columns = [loss.lost for loss in taken if loss.schema == schema and loss.column]
            table = [loss.lost for loss in taken if loss.schema == schema and not loss.column]
            yield SchemaRemoved(item, changed.name, schema, removing.new.get(schema), tuple(columns or table))


def _said(item: Item) -> Item:
    return replace(item, status="active", lost=())


def _names(item: Item) -> dict[str, str]:
    """What a metric is called, as it is spoken → as it is written. Synonyms may well be shared."""
    called = (item.title, item.id.partition(":")[2], *(entity.name for entity in item.entities))
    return {spoken(name): name for name in reversed(called) if spoken(name)}


def _computed(item: Item) -> str:
    assert isinstance(item.body, Metric), "a metric"
    return " ".join((item.body.expression or item.body.definition).lower().split())


def _pair_of_base(ours: SideChange, theirs: SideChange, mine: Item, other: Item) -> bool:
    old, twin = ours.old.get(mine.id), theirs.old.get(other.id)
    return old is not None and twin is not None and bool(_names(old).keys() & _names(twin).keys())
