"""A Kvasir of its own for one benchmark: a made-up database, its knowledge base, an assistant, and a suite of cases.

Databases, questions and statements come from the generator of the reference model, so their answers are known; the
knowledge base has what introspection would give, with gotchas, documents and confirmed answers beside it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from backend.client import Engine
from backend.mini.database import DatabaseSpec, fill, random_database
from backend.mini.phrasing import Phrasing
from backend.mini.query import Query
from backend.mini.query_maker import QueryMaker
from backend.mini.schema_items import context_items
from evals.bench.learning.engine import SHIPPED_ENGINE, EngineChoice
from evals.bench.remembering import Remembering
from evals.case import Case, SqlResult
from gateway.core import Assistant, Core, open_core
from gateway.settings import load_settings
from kb.database import open_database, upgrade
from kb.embedding import Embedder
from kb.items import Document, Entity, Gotcha, Item, Success, item_id
from kb.knowledge_base import Changes, KnowledgeBase
from kb.sql_store import SqlStore

AUTHOR, BASE, TENANT = "bench", "world", "default"
LEAST_TABLES = 8
GOTCHAS, DOCUMENTS, CONFIRMED = 12, 12, 40
"""Items beside the schema before anything is changed."""

_CONFIG = """\
home = "state"

[datasources.world]
url = "sqlite:///world.sqlite"

[engines.mini]
{engine}

[assistants.world]
kb = "world"
datasource = "world"
engine = "mini"
approval = "automatic"
"""


@dataclass(frozen=True, slots=True)
class Question:
    """A question of the made-up database with the statement that answers it."""

    text: str
    sql: str
    query: Query


@dataclass(frozen=True)
class World:
    """`questions` are all different; the first ones are confirmed in the base, the rest is in no item."""

    core: Core
    assistant: Assistant
    spec: DatabaseSpec
    questions: tuple[Question, ...]
    database: Path
    seed: int

    @property
    def base(self) -> KnowledgeBase:
        return self.assistant.base

    def cases(self, count: int) -> list[Case]:
        """Of questions that are in no item."""
        asked = self.questions[CONFIRMED : CONFIRMED + count]
        return [Case(f"case-{number:04}", entry.text, (SqlResult((entry.sql,)),)) for number, entry in enumerate(asked)]

    def unasked(self, count: int) -> tuple[Question, ...]:
        """The last questions, for changes: no case of at most `len(questions) - CONFIRMED - count` cases asks them."""
        return self.questions[-count:]

    def commit(self, name: str, changes: Changes) -> str:
        """The changes as a commit on a branch of their own, one step from `main`."""
        self.base.branch(name, "main")
        return self.base.commit(changes, author=AUTHOR, message=name, branch=name).id


@contextmanager
def made_world(
    embedder: Embedder,
    questions: int,
    *,
    confirmed: int = CONFIRMED,
    engine: EngineChoice = SHIPPED_ENGINE,
    temperature: float = 0.0,
    seed: int = 0,
) -> Iterator[World]:
    """With at least `questions` different questions beside those that are confirmed; gone when the block ends."""
    with TemporaryDirectory(prefix="kvasir-bench-") as folder:
        spec, asked = _database(Path(folder), questions + confirmed, seed)
        config = _CONFIG.format(engine=engine.toml(temperature))
        with core_with_base(Path(folder), config, BASE, embedder) as core:
            assistant = core.assistant(TENANT, "world")
            items = _items(spec, asked[:confirmed], Random(f"items/{seed}"))
            assistant.base.commit(Changes(put=tuple(items)), author=AUTHOR, message="The world")
            yield World(core, assistant, spec, tuple(asked), Path(folder) / "world.sqlite", seed)


@contextmanager
def core_with_base(
    folder: Path,
    config: str,
    base: str,
    embedder: Embedder,
    *,
    tenant: str = TENANT,
    engines: Mapping[str, Engine] | None = None,
) -> Iterator[Core]:
    """A core of the settings `config`, with an empty knowledge base of `tenant`; its state is in `folder`.

    `engines` replaces those of the settings.
    """
    file = folder / "kvasir.toml"
    file.write_text(config, encoding="utf-8")
    settings = load_settings(file)
    database = open_database(settings.state_url)
    upgrade(database)
    KnowledgeBase.create(SqlStore(database), tenant, base, author=AUTHOR)
    database.dispose()
    core = open_core(settings, engines=engines, embedder=Remembering(embedder))
    try:
        yield core
    finally:
        core.close()


def success(question: Question) -> Item:
    return Item(item_id("success", question.text), question.text, Success(question.text, question.sql))


def _database(folder: Path, questions: int, seed: int) -> tuple[DatabaseSpec, list[Question]]:
    """Writes `world.sqlite`. The first database of the seed that is large enough and gives so many questions."""
    number = 0
    while True:
        random = Random(f"world/{seed}/{number}")
        number += 1
        spec = random_database(random)
        if len(spec.tables) < LEAST_TABLES:
            continue
        connection = fill(spec, random)
        asked = _questions(spec, connection, random, questions)
        if len(asked) == questions:
            with sqlite3.connect(folder / "world.sqlite") as file:
                connection.commit()
                connection.backup(file)
            file.close()
            return spec, asked


def _questions(spec: DatabaseSpec, connection: sqlite3.Connection, random: Random, count: int) -> list[Question]:
    maker, phrasing = QueryMaker(spec, connection, random), Phrasing(random)
    found: dict[str, Question] = {}
    for _ in range(20 * count):
        query = maker.make()
        if query is not None:
            text = phrasing.question(query)
            found.setdefault(" ".join(text.casefold().split()), Question(text, maker.sql(query), query))
        if len(found) == count:
            break
    return list(found.values())


def _items(spec: DatabaseSpec, confirmed: list[Question], random: Random) -> list[Item]:
    items = context_items(spec, {table.name for table in spec.tables})
    items += [success(question) for question in confirmed]
    items += [document(spec, random, number) for number in range(DOCUMENTS)]
    items += [harmless_gotcha(spec, random, number) for number in range(GOTCHAS)]
    return list({item.id: item for item in items}.values())


def document(spec: DatabaseSpec, random: Random, number: int) -> Item:
    """A remark on a table that says nothing which a query depends on."""
    table = random.choice(spec.tables)
    team, month = random.choice(("Sales", "Finance", "Support")), random.choice(("January", "May", "October"))
    text = f"{team} looks after {table.thing.plural} since {month}; note {number}."
    return Item(item_id("document", f"note-{number}"), f"Who looks after {table.name}", Document(text))


def harmless_gotcha(spec: DatabaseSpec, random: Random, number: int) -> Item:
    """About a column that the database has, and of no consequence for any query."""
    table = random.choice(spec.tables)
    column = random.choice(table.columns)
    name = f"{table.name}.{column.name}"
    text = f"{name} is read as it is; its old export {number} is gone."
    return Item(item_id("gotcha", f"export-{number}"), f"Export of {name}", Gotcha(text), entities=(Entity(name),))
