"""Every version of an item that some commit retrieves, once: its slot is its place in all arrays of the index."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kb.entities import keys_of, names_of
from kb.fusion import NO_DATABASE, PATTERNS, SEARCHED
from kb.growing_array import GrowingArray
from kb.hit import is_always
from kb.items import Item, Preference, Schema
from kb.search_text import search_text

NONE = -1
"""In an array of kinds or rows: the version has none."""

_VERSION = np.dtype(
    [
        ("searched", np.int8),
        ("pattern", np.int8),
        ("gotcha", np.bool_),
        ("always", np.bool_),
        ("database", np.int32),
        ("row", np.int64),
    ]
)


class ItemVersions:
    """Only grows. One thread at a time may add; any may read.

    `table` has one record a slot: the kind's place in `SEARCHED` and in `PATTERNS` (or `NONE`), whether it is a gotcha
    that is searched for, whether it is always there, the number of its database (or `NO_DATABASE`), and the row of its
    text in the dense index (or `NONE`).
    """

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.hashes: list[str] = []
        self._table: GrowingArray[np.void] = GrowingArray(_VERSION)
        self._slots: dict[str, int | None] = {}
        self._of_id: dict[str, list[int]] = {}
        self._of_table: dict[str, list[int]] = {}
        self._of_subject: dict[str, list[int]] = {}
        self._gotchas: dict[str, list[int]] = {}
        self._databases: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.items)

    def __contains__(self, item_hash: str) -> bool:
        return item_hash in self._slots

    def column(self, name: str, size: int) -> NDArray[Any]:
        """One column of the table, its first `size` entries."""
        column: NDArray[Any] = self._table.values[name][:size]
        return column

    def slot(self, item_hash: str) -> int | None:
        """The slot of a version that was added; `None` where it is never retrieved."""
        return self._slots[item_hash]

    def item(self, item_hash: str) -> Item | None:
        """The version of that hash; `None` where it was not added or is never retrieved."""
        slot = self._slots.get(item_hash)
        return None if slot is None else self.items[slot]

    def of_id(self, item_id: str) -> list[int]:
        """The slots of an item's versions, ascending; so are the next three."""
        return self._of_id.get(item_id, [])

    def of_table(self, table: str) -> list[int]:
        """In any case of letters, as SQL reads names."""
        return self._of_table.get(table.lower(), [])

    def of_subject(self, subject: str) -> list[int]:
        return self._of_subject.get(subject, [])

    def gotchas(self, key: str) -> list[int]:
        """Of the gotchas that are searched for, those that have a name with this key."""
        return self._gotchas.get(key, [])

    def add(self, item_hash: str, item: Item, row: int) -> int | None:
        """Its slot; `None` for what is never retrieved. `row` is that of its text in the dense index, or `NONE`."""
        if not item.retrievable:
            self._slots[item_hash] = None
            return None
        slot = len(self.items)
        database, body = NO_DATABASE, item.body
        if isinstance(body, Schema):
            database = self._databases.setdefault(body.database, len(self._databases))
            self._of_table.setdefault(body.table.lower(), []).append(slot)
        if isinstance(body, Preference):
            self._of_subject.setdefault(body.subject, []).append(slot)
        auto = item.usage == "auto"
        if auto and item.kind == "gotcha":
            for key in {key: None for name in names_of(item) for key in keys_of(name.surface)}:
                self._gotchas.setdefault(key, []).append(slot)
        self._table.append(
            (
                SEARCHED.index(item.kind) if auto and item.kind in SEARCHED else NONE,
                PATTERNS.index(item.kind) if auto and item.kind in PATTERNS else NONE,
                auto and item.kind == "gotcha",
                item.kind != "preference" and is_always(item),
                database,
                row,
            )
        )
        self.hashes.append(item_hash)
        self.items.append(item)
        self._of_id.setdefault(item.id, []).append(slot)
        self._slots[item_hash] = slot
        return slot


def embedded_text(item: Item) -> str | None:
    """What of an item is embedded; `None` for those that are not found by likeness."""
    searched = item.retrievable and item.usage == "auto" and item.kind in (*SEARCHED, *PATTERNS)
    return search_text(item) if searched else None
