"""What an importer gives: items, and what a person should know about them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from kb.importers.errors import SourceInvalid
from kb.importers.place import Place
from kb.items import Column, Entity, Item, Kind, Provenance, Relationship, Schema, item_id
from kb.words import spoken


@dataclass(frozen=True, slots=True)
class Known:
    """What the base knows already: columns by table. `dialect` is sqlglot's name for that of the SQL; empty: the
    file's own, where it says one, else plain SQL."""

    tables: Mapping[str, Collection[str]] = field(default_factory=dict)
    dialect: str = ""


@dataclass(frozen=True, slots=True)
class Imported:
    """Items by id. The same file gives the same items."""

    items: tuple[Item, ...]
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class Findings:
    """Items as they are found. `file` is what was given to the importer, for its errors."""

    file: str
    _items: dict[str, tuple[Item, Place]] = field(default_factory=dict)
    _warnings: list[str] = field(default_factory=list)

    def add(self, item: Item, place: Place) -> None:
        """Take an item in. Raises `SourceInvalid` where one of the same id says something else."""
        before, first = self._items.setdefault(item.id, (item, place))
        if before is item:
            return
        if before.body != item.body:
            raise place.wrong(f"'{item.title}' is said otherwise at {first}; keep one of the two")
        self.warn(f"{place}: '{item.title}' stands at {first} already; taken once")

    def warn(self, warning: str) -> None:
        self._warnings.append(warning)

    def tables(self) -> dict[str, tuple[str, ...]]:
        """Columns by table, of the schema items so far."""
        bodies = [item.body for item, _ in self._items.values() if isinstance(item.body, Schema)]
        return {body.table: tuple(column.name for column in body.columns) for body in bodies}

    def done(self, expected: str) -> Imported:
        if not self._items:
            raise SourceInvalid(self.file, f"holds nothing to import; expected {expected}")
        items = sorted((item for item, _ in self._items.values()), key=lambda item: item.id)
        return Imported(tuple(items), tuple(self._warnings))


def question_id(kind: Kind, question: str) -> str:
    """An id that depends on the question alone, whatever its spaces."""
    plain = " ".join(question.split())
    name = "-".join(spoken(plain).encode("ascii", "ignore").decode().split())[:60].strip("-")
    return item_id(kind, f"{name or 'question'}-{hashlib.sha256(plain.encode()).hexdigest()[:8]}")


def named_id(kind: Kind, name: str) -> str:
    """An id for a name that people say: `Churn Rate` and `churn_rate` are one."""
    return item_id(kind, "_".join(spoken(name).split()) or name)


def title_of(text: str) -> str:
    """The first line, cut to the length of a title."""
    line = text.strip().partition("\n")[0].strip()
    return line if len(line) <= 100 else line[:99].rstrip() + "…"


def entity(name: str, synonyms: Collection[str] = ()) -> Entity:
    """A name with its synonyms, and the way it is spoken where that differs."""
    others = (*synonyms, spoken(name))
    return Entity(name, tuple(other for other in dict.fromkeys(others) if other and other != name))


def schema_item(
    table: str, columns: tuple[Column, ...], comment: str, provenance: Provenance, entities: tuple[Entity, ...] = ()
) -> Item:
    """As an introspection would name it, but without a fingerprint: no database was asked."""
    return Item(
        id=item_id("schema", table),
        title=f"Table {table}",
        body=Schema(table, columns, comment=comment),
        entities=entities or (entity(table),),
        depends_on=tuple(f"{table}.{column.name}" for column in columns),
        provenance=provenance,
    )


def relationship_item(body: Relationship, provenance: Provenance) -> Item:
    """As an introspection would name it."""
    left, right = (
        f"{table}.{'+'.join(columns)}"
        for table, columns in ((body.left_table, body.left_columns), (body.right_table, body.right_columns))
    )
    keys = [f"{body.left_table}.{name}" for name in body.left_columns]
    keys += [f"{body.right_table}.{name}" for name in body.right_columns]
    return Item(
        id=item_id("relationship", f"{left}-{right}"),
        title=f"{left} = {right}",
        body=body,
        refs=tuple(item_id("schema", table) for table in dict.fromkeys((body.left_table, body.right_table))),
        depends_on=tuple(dict.fromkeys(keys)),
        provenance=provenance,
    )
