"""What a schema lost between two states: tables and columns that are gone, and columns of another type.

A rename cannot be seen, since a schema only says what is there. It is guessed where little else is possible: a column
of the same type in the same place, a table of the same columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from sqlglot import exp

from kb.items import Column, Item, LostColumn, Schema
from kb.sql_failures import SQL_FAILURES
from kb.sql_reads import Reads

UNKNOWN = "unknown"
"""The type of a lost column whose type nobody had said."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A lost column, or a lost table, whose `column` is empty. `schema` is the id of the table's item."""

    schema: str
    table: str
    column: str
    lost: LostColumn


@dataclass(frozen=True, slots=True)
class Offer:
    """The schema items of one state, by lower-case table. Only active ones offer what they describe.

    Items name tables without their database. Where several databases of a base have a table, `refs` tells which is
    meant; without one, any is.
    """

    tables: Mapping[str, Sequence[Item]]

    @classmethod
    def of(cls, items: Iterable[Item]) -> Offer:
        tables: dict[str, list[Item]] = {}
        for item in items:
            if isinstance(item.body, Schema):
                tables.setdefault(item.body.table.lower(), []).append(item)
        return cls(tables)

    def has(self, lost: LostColumn, item: Item) -> bool:
        """Whether an item has back what it lost, in the type that it had."""
        table, column = lost.name.rpartition(".")[::2] if lost.type else (lost.name, "")
        named = self.tables.get(table.lower(), ())
        meant = [schema for schema in named if schema.id in item.refs] or named
        return any(_offers(schema, column, lost.type) for schema in meant)

    def misses(self, loss: Loss, item: Item, reads: Reads) -> bool:
        """Whether a loss, which led to this state, takes something from an item that reads `reads`."""
        if not reads.touches(loss.table, loss.column):
            return False
        return loss.schema in item.refs or not self.has(loss.lost, item)


def losses(old: Mapping[str, Item], new: Mapping[str, Item]) -> list[Loss]:
    """What the schema items of `new` have no more that those of `old` had, both by id. Only active ones count."""
    before, after = ({key: item for key, item in side.items() if item.status == "active"} for side in (old, new))
    gone = {key: item for key, item in before.items() if key not in after}
    added = _by_shape(item for key, item in after.items() if key not in before)
    rivals = _by_shape(gone.values()) if added else {}
    found: list[Loss] = []
    for key in sorted(before):
        if key in gone:
            found += _lost_table(gone[key], _renamed_table(gone[key], added, rivals))
        elif _table(before[key]).lower() != _table(after[key]).lower():
            found += _lost_table(before[key], after[key])
        elif before[key] != after[key]:
            found += _lost_columns(before[key], after[key])
    return found


def same_type(one: str, other: str) -> bool:
    """Whether a query over one type goes for the other: spelling, the length of a text and the width of an integer are
    no difference. A type that is not known is like any.
    """
    return not {one, other}.isdisjoint({"", UNKNOWN}) or one == other or _family(one) == _family(other)


def _offers(schema: Item, column: str, type_: str) -> bool:
    if schema.status != "active":
        return False
    found = (each for each in _columns(schema) if each.name.lower() == column.lower())
    return not column or any(same_type(each.type, type_) for each in found)


def _lost_columns(old: Item, new: Item) -> Iterator[Loss]:
    before, after, table = _columns(old), _columns(new), _table(old)
    by_name = {column.name.lower(): column for column in after}
    # What another tool said of a table's types is corrected, not changed, when the database itself is asked first.
    first_asked = bool(new.schema_fingerprint) and not old.schema_fingerprint
    for index, column in enumerate(before):
        name, type_ = f"{table}.{column.name}", column.type or UNKNOWN
        now = by_name.get(column.name.lower())
        if now is None:
            heir = _renamed_column(before, after, index)
            lost = LostColumn(name, type_, "renamed", f"{table}.{heir.name}") if heir else LostColumn(name, type_)
        elif first_asked or same_type(column.type, now.type):
            continue
        else:
            lost = LostColumn(name, type_, "retyped", now.type)
        yield Loss(old.id, table, column.name, lost)


def _lost_table(old: Item, heir: Item | None) -> Iterator[Loss]:
    table, now = _table(old), _table(heir) if heir else ""
    for column in ("", *(each.name for each in _columns(old))):
        type_ = next((each.type or UNKNOWN for each in _columns(old) if each.name == column), "")
        name = f"{table}.{column}" if column else table
        lost = LostColumn(name, type_)
        if heir:
            lost = LostColumn(name, type_, "renamed", f"{now}.{column}" if column else now)
        yield Loss(old.id, table, column, lost)


def _renamed_column(before: Sequence[Column], after: Sequence[Column], index: int) -> Column | None:
    """The one new column of the same type between the same neighbours as the lost one."""
    kept = {column.name.lower() for column in before} & {column.name.lower() for column in after}
    lost, place = before[index], _neighbours(before, index, kept)
    heirs = [
        column
        for at, column in enumerate(after)
        if column.name.lower() not in kept
        and (_family(column.type), column.primary_key) == (_family(lost.type), lost.primary_key)
        and _neighbours(after, at, kept) == place
    ]
    if len(heirs) > 1 and len(before) == len(after):
        # Several in a row were renamed: each stands where it stood.
        heirs = [column for column in heirs if after[index] is column]
    return heirs[0] if len(heirs) == 1 else None


def _neighbours(columns: Sequence[Column], at: int, kept: set[str]) -> tuple[str, str]:
    names = [column.name.lower() for column in columns]
    left = [name for name in names[:at] if name in kept]
    right = [name for name in names[at + 1 :] if name in kept]
    return (left[-1] if left else "", right[0] if right else "")


def _renamed_table(lost: Item, added: _Shapes, rivals: _Shapes) -> Item | None:
    """The one new table that has exactly the columns of the lost one, if no other lost table has them."""
    if len(_columns(lost)) < 2 or not added:
        return None
    heirs = added.get(_shape(lost), [])
    return heirs[0] if len(heirs) == len(rivals[_shape(lost)]) == 1 else None


_Shape: TypeAlias = tuple[str, frozenset[tuple[str, str]]]
_Shapes: TypeAlias = Mapping[_Shape, Sequence[Item]]


def _by_shape(items: Iterable[Item]) -> _Shapes:
    shapes: dict[_Shape, list[Item]] = {}
    for item in items:
        shapes.setdefault(_shape(item), []).append(item)
    return shapes


def _shape(item: Item) -> _Shape:
    """A table but for its name: its database, and its columns with their types."""
    assert isinstance(item.body, Schema), "only schema items come here"
    columns = frozenset((column.name.lower(), _family(column.type)) for column in item.body.columns)
    return item.body.database, columns


def _columns(item: Item) -> tuple[Column, ...]:
    assert isinstance(item.body, Schema), "only schema items come here"
    return item.body.columns


def _table(item: Item) -> str:
    assert isinstance(item.body, Schema), "only schema items come here"
    return item.body.table


@lru_cache(maxsize=4096)
def _family(type_: str) -> str:
    """One word for types between which a query does not care; else the type, spelled in one way."""
    plain = " ".join(type_.split())
    try:
        parsed = exp.DataType.build(plain, udt=True)
    except SQL_FAILURES:
        return plain.upper()
    if parsed.this in exp.DataType.TEXT_TYPES:
        return "TEXT"
    return "INTEGER" if parsed.this in exp.DataType.INTEGER_TYPES else parsed.sql()
