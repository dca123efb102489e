"""Random databases: 2 to 12 tables with keys between them, and rows in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from random import Random

from backend.mini.naming import Style, invented_word, opaque_name, random_style
from backend.mini.vocabulary import ATTRIBUTES, FIRST_NAMES, LAST_NAMES, THINGS, Attribute, Role, Thing

TODAY = date(2026, 6, 30)
_TYPES: dict[Role, tuple[str, ...]] = {
    "label": ("TEXT", "VARCHAR(100)", "VARCHAR(255)"),
    "category": ("TEXT", "VARCHAR(20)", "CHAR(15)"),
    "code": ("TEXT", "VARCHAR(12)"),
    "amount": ("REAL", "NUMERIC", "DECIMAL(10, 2)"),
    "count": ("INTEGER", "INT", "BIGINT"),
    "ratio": ("REAL", "FLOAT"),
    "date": ("DATE", "TEXT"),
    "flag": ("INTEGER", "BOOLEAN"),
}


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """`role` is `None` for a key. `values` are what a category or flag may hold; `comment` is what the schema says."""

    name: str
    spoken: str
    type: str
    role: Role | None
    values: tuple[str, ...] = ()
    comment: str = ""
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class TableSpec:
    """The first column is the primary key."""

    name: str
    thing: Thing
    columns: tuple[ColumnSpec, ...]
    comment: str = ""

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
    """`sampled` says whether the values of categories stand in the schema."""

    tables: tuple[TableSpec, ...]
    links: tuple[Link, ...]
    sampled: bool = True

    def table(self, name: str) -> TableSpec:
        return next(table for table in self.tables if table.name == name)


@dataclass(frozen=True, slots=True)
class Habits:
    """How the makers of one database went about it. `invented` and `opaque` are shares of names."""

    style: Style
    invented: float
    opaque: float
    everywhere: Attribute | None
    """A flag or category that nearly every table has, such as `deleted`."""
    pieces: Sequence[str] = ()
    """What invented words are made of; without any, of syllables and letters."""


def random_database(random: Random, pieces: Sequence[str] = ()) -> DatabaseSpec:
    """Tables linked to a tree, each with three to eight columns besides its keys. No two names are alike.

    With `pieces`, such as the tokens of a tokenizer, nearly all names are made of them.
    """
    habits = _habits(random)
    if pieces:
        habits = replace(habits, invented=0.9, pieces=pieces)
    things = random.sample(THINGS, random.choice((2, 3, 3, 4, 4, 5, 6, 7, 8, 10, 12)))
    things = [_renamed(random, thing, pieces) if random.random() < habits.invented else thing for thing in things]
    tables: list[TableSpec] = []
    links: list[Link] = []
    for thing in things:
        columns = [ColumnSpec(habits.style.key(thing.singular), f"{thing.singular} id", "INTEGER", None)]
        name = habits.style.table(thing.singular, thing.plural)
        linked: list[Link] = []
        for parent in _parents(random, tables):
            column = ColumnSpec(
                _link_name(random, habits.style, parent), f"{parent.thing.singular} id", "INTEGER", None
            )
            if column.name.lower() not in {known.name.lower() for known in columns}:
                columns.append(column)
                linked.append(Link(name, column.name, parent.name))
        columns += _attributes(random, habits, thing)
        # Shortened, two names may be one (`total`, `title`): the first keeps it.
        distinct = {column.name.lower(): column for column in reversed(columns)}.values()
        if name.lower() not in {table.name.lower() for table in tables}:
            comment = f"one row for each {thing.singular}" if random.random() < 0.06 else ""
            tables.append(TableSpec(name, thing, tuple(column for column in columns if column in distinct), comment))
            links += linked
    return DatabaseSpec(tuple(random.sample(tables, len(tables))), tuple(links), random.random() < 0.75)


def _habits(random: Random) -> Habits:
    everywhere = [attribute for attribute in ATTRIBUTES if attribute.role in ("flag", "category")]
    return Habits(
        style=random_style(random),
        invented=random.choice((0.0, 0.1, 0.3, 0.9)),
        opaque=random.choice((0.0, 0.0, 0.0, 0.05, 0.3)),
        everywhere=random.choice(everywhere) if random.random() < 0.5 else None,
    )


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


def _attributes(random: Random, habits: Habits, thing: Thing) -> list[ColumnSpec]:
    """Always something to show, to filter by and to add up; the rest as it comes."""
    by_role: dict[Role, list[Attribute]] = {}
    for attribute in ATTRIBUTES:
        by_role.setdefault(attribute.role, []).append(attribute)
    chosen = [random.choice(by_role[role]) for role in ("label", "category", random.choice(("amount", "count")))]
    chosen += random.sample(ATTRIBUTES, random.randint(0, 5))
    renamed = [_invented(random, attribute, habits) for attribute in chosen]
    if habits.everywhere is not None and random.random() < 0.85:
        renamed.append(habits.everywhere)
    unique = list({attribute.spoken: attribute for attribute in renamed}.values())
    return [
        _column(random, habits, thing, attribute, number)
        for number, attribute in enumerate(random.sample(unique, len(unique)), start=1)
    ]


def _invented(random: Random, attribute: Attribute, habits: Habits) -> Attribute:
    if random.random() >= habits.invented / 2:
        return attribute
    word = invented_word(random, habits.pieces)
    return replace(attribute, spoken=word if random.random() < 0.4 else f"{word} {attribute.spoken}")


def _column(random: Random, habits: Habits, thing: Thing, attribute: Attribute, number: int) -> ColumnSpec:
    spoken, values = attribute.spoken, attribute.values
    if attribute.role == "category" and random.random() < 0.25:
        values = tuple(invented_word(random, habits.pieces) for _ in values)
    elif attribute.role == "category":
        values = tuple(random.sample(values, random.randint(2, len(values))))
    said = f"is {spoken}" if attribute.role == "flag" and random.random() < 0.5 else spoken
    type_name = random.choice(_TYPES[attribute.role])
    if random.random() < habits.opaque:
        return ColumnSpec(opaque_name(random, number), spoken, type_name, attribute.role, values, comment=spoken)
    name = habits.style.column(thing.singular, said)
    comment = spoken if random.random() < 0.03 else ""
    nullable = attribute.role == "date" and random.random() < 0.25
    return ColumnSpec(name, spoken, type_name, attribute.role, values, comment, nullable)


def _renamed(random: Random, thing: Thing, pieces: Sequence[str]) -> Thing:
    """A thing that nobody has heard of, whole or in part."""
    word = invented_word(random, pieces)
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
            if column.nullable and random.random() < 0.5:
                return None
            return (TODAY - timedelta(days=random.randint(0, 1500))).isoformat()
        case "code":
            return f"{invented_word(random)[:3].upper()}-{random.randint(100, 9999)}"
        case _:
            return f"{random.choice(FIRST_NAMES)} {random.choice(LAST_NAMES)}"
