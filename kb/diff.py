"""What differs between two commits: item by item, field by field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kb.codec import item_to_dict
from kb.items import Item

Change = Literal["added", "removed", "changed"]


@dataclass(frozen=True, slots=True)
class FieldChange:
    """`field` is a dotted path such as `body.columns.3.type`; `None` is absent."""

    field: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class ItemChange:
    id: str
    old: Item | None
    new: Item | None

    @property
    def change(self) -> Change:
        if self.old is None:
            return "added"
        return "removed" if self.new is None else "changed"

    @property
    def fields(self) -> tuple[FieldChange, ...]:
        """The fields that differ; all of them for an added or removed item."""
        old = fields_of(self.old) if self.old else {}
        new = fields_of(self.new) if self.new else {}
        paths = [*old, *(path for path in new if path not in old)]
        return tuple(
            FieldChange(path, old.get(path), new.get(path)) for path in paths if old.get(path) != new.get(path)
        )


@dataclass(frozen=True, slots=True)
class Diff:
    """Changes from commit `old` to commit `new`, by item id."""

    old: str
    new: str
    changes: tuple[ItemChange, ...]


def fields_of(item: Item) -> dict[str, Any]:
    """Every single value of an item by its dotted path, in the item's order."""
    return dict(_flat(item_to_dict(item)))


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            yield from _flat(inner, f"{path}.{index}")
    else:
        yield path, value
