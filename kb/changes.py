"""What a commit changes, and all that one holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kb.items import Item
from kb.objects import Commit


@dataclass(frozen=True, slots=True)
class Changes:
    """What a commit changes: items to put (added or replaced, by id) and ids to remove.

    `activated` are ids among them that a person takes back into use, whatever they had lost before.
    """

    put: tuple[Item, ...] = ()
    remove: tuple[str, ...] = ()
    activated: frozenset[str] = frozenset()

    @property
    def ids(self) -> set[str]:
        return {item.id for item in self.put} | set(self.remove)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All items of one commit. `hashes` maps item id → item hash."""

    commit: Commit
    hashes: Mapping[str, str]
    items: Mapping[str, Item] = field(repr=False)
