"""Random databases: 2 to 12 tables with keys between them, and rows in SQLite."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

from backend.mini.naming import Style, invented_word, random_style
from backend.mini.vocabulary import ATTRIBUTES, FIRST_NAMES, LAST_NAMES, THINGS, Attribute, Role, Thing

TODAY = date(2026, 6, 30)
_TYPES: dict[Role, tuple[str, ...]] = {
    "label": ("TEXT", "VARCHAR(100)"),
    "category": ("TEXT", "VARCHAR(20)"),
    "code": ("TEXT", "VARCHAR(12)"),
    "amount": ("REAL", "NUMERIC"),
    "count": ("INTEGER", "INT"),
    "ratio": ("REAL",),
    "date": ("DATE", "TEXT"),
    "flag": ("INTEGER", "BOOLEAN"),
}


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """`role` is `None` for a key. `values` are what a category or flag may hold."""

    name: str
    spoken: str
    type: str
    role: Role | None
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TableSpec:
    """The first column is the primary key."""

    name: str
    thing: Thing
    columns: tuple[ColumnSpec, ...]

    @property
    def key(self) -> ColumnSpec:
        return self.columns[0]

    def of_role(self, *roles: Role) -> list[ColumnSpec]:
        return [column for column in self.columns if column.role in roles]


@dataclass(frozen=True, slots=True)
class Link:
    """`child.column` refers to the key of `parent`; both are names of tables."""

    child: str
    column: str
    parent: str


@dataclass(frozen=True, slots=True)
class DatabaseSpec:
    tables: tuple[TableSpec, ...]
    links: tuple[Link, ...]

    def table(self, name: str) -> TableSpec:
        return next(table for table in self.tables if table.name == name)


def random_database(random: Random) -> DatabaseSpec:
    """Tables linked to a tree, each with three to eight columns besides its keys. No two names are alike."""
    style = random_style(random)
    things = random.sample(THINGS, random.choice((2, 3, 3, 4, 4, 5, 6, 7, 8, 10, 12)))
    things = [_renamed(random, thing) if random.random() < 0.15 else thing for thing in things]
    tables: list[TableSpec] = []
    links: list[Link] = []
    for thing in things:
        columns = [ColumnSpec(style.key(thing.singular), f"{thing.singular} id", "INTEGER", None)]
        name = style.table(thing.singular, thing.plural)
        linked: list[Link] = []
        for parent in _parents(random, tables):
            column = ColumnSpec(_link_name(random, style, parent), f"{parent.thing.singular} id", "INTEGER", None)
            if column.name.lower() not in {known.name.lower() for known in columns}:
                columns.append(column)
                linked.append(Link(name, column.name, parent.name))
        columns += _attributes(random, style)
        # Abbreviated, two names may be one (`total`, `title`): the first keeps it.
        distinct = {column.name.lower(): column for column in reversed(columns)}.values()
        if name.lower() not in {table.name.lower() for table in tables}:
            tables.append(TableSpec(name, thing, tuple(column for column in columns if column in distinct)))
            links += linked
    return DatabaseSpec(tuple(random.sample(tables, len(tables))), tuple(links))


def fill(spec: DatabaseSpec, random: Random) -> sqlite3.Connection:
    """An in-memory SQLite database of the schema, with 8 to 40 rows a table; links lead to rows that exist."""
    connection = sqlite3.connect(":memory:")
    keys: dict[str, list[int]] = {}
    links = {(link.child, link.column): link.parent for link in spec.links}
    for table in _parents_first(spec):
        columns = ", ".join(f'"{column.name}" {column.type}' for column in table.columns)
        connection.execute(f'CREATE TABLE "{table.name}" ({columns})')
        keys[table.name] = list(range(1, random.randint(8, 40) + 1))
        rows = [
            [key if column is table.key else _value(random, column, links.get((table.name, column.name)), keys)
             for column in table.columns]
            for key in keys[table.name]
        ]  # fmt: skip
        marks = ", ".join("?" * len(table.columns))
        connection.executemany(f'INSERT INTO "{table.name}" VALUES ({marks})', rows)
    return connection


def _parents_first(spec: DatabaseSpec) -> list[TableSpec]:
    ordered: list[TableSpec] = []
    waiting = list(spec.tables)
    parents = {table.name: {link.parent for link in spec.links if link.child == table.name} for table in waiting}
    while waiting:
        done = {table.name for table in ordered}
        ready = [table for table in waiting if parents[table.name] <= done]
        ordered += ready
        waiting = [table for table in waiting if table not in ready]
    return ordered


def _parents(random: Random, tables: list[TableSpec]) -> list[TableSpec]:
    """None for the first table, else one or two of those before."""
    count = min(len(tables), random.choice((1, 1, 1, 2)))
    return random.sample(tables, count)


def _link_name(random: Random, style: Style, parent: TableSpec) -> str:
    spoken = f"{parent.thing.singular} id"
    if random.random() < 0.12:
        spoken = random.choice((f"{parent.thing.singular} ref", f"{parent.thing.singular} no", parent.thing.singular))
    return style.spell(spoken)


def _attributes(random: Random, style: Style) -> list[ColumnSpec]:
    """Always something to show, to filter by and to add up; the rest as it comes."""
    by_role: dict[Role, list[Attribute]] = {}
    for attribute in ATTRIBUTES:
        by_role.setdefault(attribute.role, []).append(attribute)
    chosen = [random.choice(by_role[role]) for role in ("label", "category", random.choice(("amount", "count")))]
    chosen += random.sample(ATTRIBUTES, random.randint(0, 5))
    unique = list({attribute.spoken: attribute for attribute in chosen}.values())
    return [_column(random, style, attribute) for attribute in random.sample(unique, len(unique))]


def _column(random: Random, style: Style, attribute: Attribute) -> ColumnSpec:
    spoken, values = attribute.spoken, attribute.values
    if random.random() < 0.06:
        spoken = f"{invented_word(random)} {spoken}"
    if attribute.role == "category" and random.random() < 0.25:
        values = tuple(invented_word(random) for _ in values)
    elif attribute.role == "category":
        values = tuple(random.sample(values, random.randint(2, len(values))))
    name = style.spell(f"is {spoken}" if attribute.role == "flag" and random.random() < 0.5 else spoken)
    return ColumnSpec(name, spoken, random.choice(_TYPES[attribute.role]), attribute.role, values)


def _renamed(random: Random, thing: Thing) -> Thing:
    """A thing that nobody has heard of, whole or in part."""
    word = invented_word(random)
    if random.random() < 0.5:
        return Thing(f"{word} {thing.singular}", f"{word} {thing.plural}")
    return Thing(word, f"{word}s")


def _value(random: Random, column: ColumnSpec, parent: str | None, keys: dict[str, list[int]]) -> object:
    if parent is not None:
        return random.choice(keys[parent])
    match column.role:
        case "category":
            return random.choice(column.values)
        case "flag":
            return random.randint(0, 1)
        case "amount":
            return round(random.uniform(1, 1000), 2)
        case "ratio":
            return round(random.uniform(0, 5), 2)
        case "count":
            return random.randint(1, 200)
        case "date":
            return (TODAY - timedelta(days=random.randint(0, 1500))).isoformat()
        case "code":
            return f"{invented_word(random)[:3].upper()}-{random.randint(100, 9999)}"
        case _:
            return f"{random.choice(FIRST_NAMES)} {random.choice(LAST_NAMES)}"
