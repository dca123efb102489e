"""Questions that people wrote, from Spider's training split (Yu et al. 2018, CC BY-SA 4.0), as training text.

About a thousand questions over fifty databases teach how people ask, not what their databases are called: so names are
spelled anew in every other sample, literals are exchanged, and contexts are drawn. Nothing of a development split is
read. Where the data is absent, nothing is mixed in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from backend.mini.naming import Style, invented_word, random_style
from backend.mini.sample import Sample, many_turns
from backend.mini.vocabulary import FIRST_NAMES, LAST_NAMES
from kb.items import Column, Item, Relationship, Schema, Success, item_id

QUESTIONS, SCHEMAS = "train1196.jsonl", "tables.json"
MAX_TABLES = 6
_TYPES = {"text": ("TEXT", "VARCHAR(80)"), "number": ("INTEGER", "REAL", "INT"), "time": ("DATE", "TEXT")}
_QUOTED = re.compile(r"('[^']*'|\"[^\"]*\")")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SQL_WORDS = frozenset(
    "select distinct from join on where and or not in like between is null group by having order asc desc limit as "
    "count sum avg min max union intersect except exists case when then else end t1 t2 t3 t4 t5".split()
)


@dataclass(frozen=True, slots=True)
class SpiderColumn:
    name: str
    spoken: str
    type: str
    key: bool


@dataclass(frozen=True, slots=True)
class SpiderTable:
    name: str
    spoken: str
    columns: tuple[SpiderColumn, ...]


@dataclass(frozen=True, slots=True)
class Question:
    text: str
    sql: str
    tables: frozenset[str]
    """In lower case."""


@dataclass(frozen=True, slots=True)
class SpiderDatabase:
    """`links` are (child, column, parent, key), by name."""

    tables: tuple[SpiderTable, ...]
    links: tuple[tuple[str, str, str, str], ...]
    questions: tuple[Question, ...]


class Spider:
    """The training questions in `folder`, database by database."""

    def __init__(self, folder: Path) -> None:
        asked: dict[str, list[Question]] = {}
        for line in (folder / QUESTIONS).read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            sql = _tidy(record["gold_sql"][0])
            tables = frozenset(table.lower() for table in record["gold_tables"])
            asked.setdefault(record["db_id"], []).append(Question(record["question"].strip(), sql, tables))
        schemas = json.loads((folder / SCHEMAS).read_text(encoding="utf-8"))
        self.databases = tuple(
            _database(schema, asked[schema["db_id"]]) for schema in schemas if schema["db_id"] in asked
        )

    @property
    def words(self) -> tuple[str, ...]:
        """The words of its questions and names, in lower case."""
        said = [question.text for database in self.databases for question in database.questions]
        tables = [table for database in self.databases for table in database.tables]
        named = [table.spoken for table in tables]
        named += [column.spoken for table in tables for column in table.columns]
        return tuple(sorted({word.lower() for text in (*said, *named) for word in re.findall(r"[A-Za-z]{3,}", text)}))

    def samples(self, random: Random, count: int) -> Iterator[Sample]:
        for _ in range(count):
            yield _Drawing(random.choice(self.databases), random).sample()


@dataclass
class _Drawing:
    """One sample of one database, with its own spelling of the names."""

    database: SpiderDatabase
    random: Random

    def __post_init__(self) -> None:
        names = [column.name for table in self.database.tables for column in table.columns]
        # Queries are written in any case; here each name is the schema's.
        self._names = {name.lower(): name for name in (*names, *(table.name for table in self.database.tables))}
        if self.random.random() < 0.5:
            self._names |= _renames(self.database, random_style(self.random)) or {}

    def sample(self) -> Sample:
        """A few questions as turns of one conversation; confirmed answers before it in two of five."""
        random = self.random
        asked = random.sample(self.database.questions, min(len(self.database.questions), random.choice((1, 2, 3, 4))))
        needed = frozenset[str]().union(*(question.tables for question in asked))
        items = self._schema(needed)
        turns = [self._turn(question) for question in asked]
        if random.random() < 0.4:
            shown = random.sample(self.database.questions, min(len(self.database.questions), random.randint(1, 4)))
            # Confirmed answers of the very questions too, with other literals: then it is theirs that decide.
            shown += [question for question in asked if random.random() < 0.5]
            pairs = dict(self._turn(question) for question in random.sample(shown, len(shown)))
            items += [
                Item(item_id("success", text), text, Success(text, sql))
                for text, sql in pairs.items()
                if text not in dict(turns)
            ]
        return many_turns("spider", "spider", items, turns)

    def _turn(self, question: Question) -> tuple[str, str]:
        text, sql = question.text, question.sql
        if self.random.random() < 0.6:
            text, sql = self._other_literals(text, sql)
        return text, _spelled(sql, self._names)

    def _other_literals(self, text: str, sql: str) -> tuple[str, str]:
        for quoted in dict.fromkeys(_QUOTED.findall(sql)):
            value = quoted[1:-1].strip("%")
            if len(value) >= 2 and text.count(value) == 1:
                other = self._word(value)
                text, sql = text.replace(value, other), sql.replace(quoted, quoted.replace(value, other))
        for number in dict.fromkeys(re.findall(r"(?<![\w.'\"%-])\d{2,}(?![\w.'\"%-])", sql)):
            if len(re.findall(rf"(?<!\d){number}(?!\d)", text)) == 1 and sql.count(number) == 1:
                other = str(self.random.randint(10 ** (len(number) - 1), 10 ** len(number) - 1))
                text, sql = text.replace(number, other), sql.replace(number, other)
        return text, sql

    def _word(self, like: str) -> str:
        random = self.random
        if re.fullmatch(r"[\d.:/ -]+", like):
            return re.sub(r"\d", lambda _: str(random.randint(1, 9)), like)
        word = random.choice((random.choice(FIRST_NAMES), random.choice(LAST_NAMES), invented_word(random)))
        return word.capitalize() if like[0].isupper() else word.lower()

    def _schema(self, needed: frozenset[str]) -> list[Item]:
        """The tables that the questions need and some more, and the links between them."""
        random, tables = self.random, self.database.tables
        others = [table for table in tables if table.name.lower() not in needed]
        room = max(0, MAX_TABLES - len(needed))
        more = random.sample(others, min(len(others), random.randint(0, room)))
        chosen = [table for table in tables if table.name.lower() in needed or table in more]
        items = [self._table(table) for table in random.sample(chosen, len(chosen))]
        names = {table.name for table in chosen}
        for child, column, parent, key in self.database.links:
            if {child, parent} <= names:
                left, right = self._name(child), self._name(parent)
                body = Relationship(left, (self._name(column),), right, (self._name(key),))
                name = f"{left}.{self._name(column)}-{right}.{self._name(key)}"
                items.append(Item(item_id("relationship", name), f"{left} to {right}", body))
        return items

    def _table(self, table: SpiderTable) -> Item:
        columns = tuple(
            Column(
                self._name(column.name), self.random.choice(_TYPES.get(column.type, ("TEXT",))), primary_key=column.key
            )
            for column in table.columns
        )
        name = self._name(table.name)
        return Item(item_id("schema", name), f"Table {name}", Schema(name, columns))

    def _name(self, name: str) -> str:
        return self._names[name.lower()]


def _database(schema: dict[str, Any], questions: list[Question]) -> SpiderDatabase:
    names = [str(name) for name in schema["table_names_original"]]
    columns: list[list[SpiderColumn]] = [[] for _ in names]
    place: dict[int, tuple[int, str]] = {}
    entries = zip(schema["column_names_original"], schema["column_names"], schema["column_types"], strict=True)
    keys = set(_flat(schema["primary_keys"]))
    for number, ((table, name), (_, spoken), type_name) in enumerate(entries):
        if table >= 0:
            columns[table].append(SpiderColumn(name, spoken, str(type_name), number in keys))
            place[number] = (table, name)
    tables = tuple(
        SpiderTable(name, str(spoken), tuple(columns[number]))
        for number, (name, spoken) in enumerate(zip(names, schema["table_names"], strict=True))
    )
    links = tuple(
        (names[place[child][0]], place[child][1], names[place[parent][0]], place[parent][1])
        for child, parent in schema["foreign_keys"]
    )
    return SpiderDatabase(tables, links, tuple(questions))


def _flat(keys: list[object]) -> Iterator[object]:
    for key in keys:
        yield from key if isinstance(key, list) else (key,)


def _renames(database: SpiderDatabase, style: Style) -> dict[str, str] | None:
    """Old name in lower case → new name; `None` where two names would become one."""
    spoken = {column.name.lower(): column.spoken for table in database.tables for column in table.columns}
    spoken |= {table.name.lower(): table.spoken for table in database.tables}
    named = {name: style.spell(words.lower()) for name, words in spoken.items() if name not in _SQL_WORDS}
    clear = len({new.lower() for new in named.values()}) == len(named)
    plain = all(_WORD.fullmatch(new) and new.lower() not in _SQL_WORDS for new in named.values())
    return named if clear and plain else None


def _spelled(sql: str, names: dict[str, str]) -> str:
    pieces = _QUOTED.split(sql)
    for place in range(0, len(pieces), 2):
        pieces[place] = _WORD.sub(lambda found: names.get(found[0].lower(), found[0]), pieces[place])
    return "".join(pieces)


def _tidy(sql: str) -> str:
    """Single spaces outside of literals, none before a comma."""
    pieces = _QUOTED.split(sql)
    for place in range(0, len(pieces), 2):
        pieces[place] = re.sub(r"\s+", " ", pieces[place]).replace(" ,", ",")
    return "".join(pieces).strip()
