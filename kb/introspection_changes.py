"""What a fresh introspection changes in a base: the database decides on structure, people on words and status."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from kb.introspect import SOURCE, allowed
from kb.items import Column, Item, Provenance, Relationship, Schema
from kb.knowledge_base import Changes, Snapshot

TABLE_GONE = "the table is not in the database"
KEY_GONE = "the database no longer declares this key"
"""`provenance.evidence` of an item that was retired here, so that it comes back with its table."""


def introspection_changes(
    snapshot: Snapshot, items: Iterable[Item], *, tables: Collection[str] | None = None
) -> Changes:
    """Changes that bring the snapshot in line with `items`, which `introspect` gave for the same `tables`.

    Kept as they are: title, entities, usage, status, `supersedes` and comments that are not empty. A row count alone
    is no change. Schema and relationship items of a table that is gone are retired, never removed; only tables of
    the databases that `items` speak of, and which `tables` lets through, can be gone.
    """
    found = {item.id: item for item in items}
    put = [item for item in found.values() if not isinstance(item.body, (Schema, Relationship))]
    assert not put, f"{put[0].id} does not come from an introspection"
    merged = (_merged(snapshot.items.get(key), item) for key, item in found.items())
    changed = [item for item in merged if _differs(snapshot.items.get(item.id), item)]
    return Changes(tuple(sorted([*changed, *_gone(snapshot, found.values(), tables)], key=lambda item: item.id)))


def _merged(old: Item | None, new: Item) -> Item:
    if old is None:
        return new
    came_back = old.status == "retired" and old.provenance is not None and old.provenance.evidence == TABLE_GONE
    return replace(
        old,
        body=_merged_body(old.body, new.body),
        refs=tuple(dict.fromkeys((*old.refs, *new.refs))),
        depends_on=new.depends_on,
        schema_fingerprint=new.schema_fingerprint,
        status="active" if came_back else old.status,
        provenance=new.provenance if came_back else old.provenance,
    )


def _merged_body(old: object, new: object) -> Schema | Relationship:
    if isinstance(old, Relationship) and isinstance(new, Relationship):
        return replace(new, comment=old.comment or new.comment)
    assert isinstance(old, Schema), "an item's kind is part of its id"
    assert isinstance(new, Schema), "an item's kind is part of its id"
    comments = {column.name: column.comment for column in old.columns}
    columns: list[Column] = [
        replace(column, comment=comments.get(column.name) or column.comment) for column in new.columns
    ]
    return replace(new, columns=tuple(columns), comment=old.comment or new.comment)


def _differs(old: Item | None, new: Item) -> bool:
    if old is None or not isinstance(old.body, Schema) or not isinstance(new.body, Schema):
        return old != new
    return replace(old, body=replace(old.body, row_count=new.body.row_count)) != new


def _gone(snapshot: Snapshot, found: Collection[Item], tables: Collection[str] | None) -> Iterator[Item]:
    present = {(item.body.database, item.body.table) for item in found if isinstance(item.body, Schema)}
    databases = {database for database, _ in present}
    for item in snapshot.items.values():
        if item.status == "retired":
            continue
        if _is_dropped_key(item, present, {entry.id for entry in found}):
            provenance = replace(item.provenance or Provenance(SOURCE), evidence=KEY_GONE)
            yield replace(item, status="retired", provenance=provenance)
            continue
        missing = _tables(item) - present
        if any(database in databases and (tables is None or allowed(name, tables)) for database, name in missing):
            provenance = replace(item.provenance or Provenance(SOURCE), evidence=TABLE_GONE)
            yield replace(item, status="retired", provenance=provenance)


def _is_dropped_key(item: Item, present: set[tuple[str, str]], found: set[str]) -> bool:
    """A declared foreign key that is declared no more, though both its tables were read. Hand-written ones stay."""
    introspected = item.provenance is not None and item.provenance.source == SOURCE
    return isinstance(item.body, Relationship) and introspected and item.id not in found and _tables(item) <= present


def _tables(item: Item) -> set[tuple[str, str]]:
    match item.body:
        case Schema(table=table, database=database):
            return {(database, table)}
        case Relationship(left_table=left, right_table=right, database=database):
            return {(database, left), (database, right)}
    return set()
