"""What an import changes in a base: words are added, and nothing that people or a database decided is undone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from kb.importers.imported import Imported
from kb.items import Column, Entity, Item, Relationship, Schema
from kb.knowledge_base import Changes, Snapshot


def changes_from_import(snapshot: Snapshot, imported: Imported) -> tuple[Changes, list[str]]:
    """The changes, and warnings about items that stay as they are.

    An item whose body is in the base keeps its title, status and provenance. One that was imported from the same
    source before is replaced where the source says something else now, and has the source's status again. One of
    another origin stays. A table that was introspected keeps its columns and gains words where it had none.
    """
    put: list[Item] = []
    warnings: list[str] = []
    for item in imported.items:
        old = snapshot.items.get(item.id)
        wanted = item if old is None else _merged(old, item)
        if wanted is None:
            assert old is not None, "a new item is never kept out"
            source = _source(old) or "an unnamed source"
            warnings.append(f"{item.id}: the base has another, from {source}; it stays as it is")
        elif wanted != old:
            put.append(wanted)
    return Changes(tuple(put)), warnings


def _merged(old: Item, new: Item) -> Item | None:
    """`None` where the base's item has another origin and says something else."""
    if isinstance(old.body, Schema) and isinstance(new.body, Schema) and old.schema_fingerprint:
        return _enriched(replace(old, body=_worded(old.body, new.body)), new, depends_on=False)
    if isinstance(old.body, Relationship) and isinstance(new.body, Relationship):
        body = replace(old.body, comment=old.body.comment or new.body.comment)
        return _enriched(replace(old, body=body), new)
    if old.body == new.body:
        return _enriched(old, new)
    if _source(old) == _source(new):
        return replace(new, usage=old.usage, supersedes=old.supersedes)
    return None


def _source(item: Item) -> str | None:
    return item.provenance.source if item.provenance else None


def _enriched(old: Item, new: Item, *, depends_on: bool = True) -> Item:
    return replace(
        old,
        entities=_entities(old.entities, new.entities),
        refs=_union(old.refs, new.refs),
        depends_on=_union(old.depends_on, new.depends_on) if depends_on else old.depends_on,
    )


def _worded(old: Schema, new: Schema) -> Schema:
    said = {column.name.lower(): column for column in new.columns}
    columns = tuple(_worded_column(column, said.get(column.name.lower())) for column in old.columns)
    return replace(old, columns=columns, comment=old.comment or new.comment)


def _worded_column(old: Column, new: Column | None) -> Column:
    if new is None:
        return old
    return replace(old, comment=old.comment or new.comment, samples=old.samples or new.samples)


def _entities(old: Sequence[Entity], new: Iterable[Entity]) -> tuple[Entity, ...]:
    merged = {each.name: each for each in old}
    for each in new:
        before = merged.get(each.name)
        merged[each.name] = each if before is None else replace(each, synonyms=_union(before.synonyms, each.synonyms))
    return tuple(merged.values())


def _union(old: Iterable[str], new: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*old, *new)))
