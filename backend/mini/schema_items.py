"""A random database as the items that Kvasir would have introspected from it."""

from __future__ import annotations

from backend.mini.database import DatabaseSpec, Link, TableSpec
from kb.items import Column, Item, Relationship, Schema, item_id

SAMPLED = 6


def schema_item(table: TableSpec, *, sampled: bool = True) -> Item:
    columns = tuple(
        Column(
            column.name,
            column.type,
            primary_key=column is table.key,
            comment=column.comment,
            samples=column.values[:SAMPLED] if sampled and column.role == "category" else (),
        )
        for column in table.columns
    )
    return Item(
        item_id("schema", table.name), f"Table {table.name}", Schema(table.name, columns, comment=table.comment)
    )


def relationship_item(spec: DatabaseSpec, link: Link) -> Item:
    key = spec.table(link.parent).key.name
    body = Relationship(link.child, (link.column,), link.parent, (key,))
    name = f"{link.child}.{link.column}-{link.parent}.{key}"
    return Item(item_id("relationship", name), f"{link.child} to {link.parent}", body)


def context_items(spec: DatabaseSpec, tables: set[str]) -> list[Item]:
    """The tables' items, and those of the links between them."""
    items = [schema_item(table, sampled=spec.sampled) for table in spec.tables if table.name in tables]
    items += [relationship_item(spec, link) for link in spec.links if {link.child, link.parent} <= tables]
    return items
