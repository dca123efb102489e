"""A knowledge base of any size, in a SQLite database of its own: the same items each time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Engine

from kb.database import open_database, upgrade
from kb.items import Column, Gotcha, Item, Metric, Schema, Success, item_id
from kb.knowledge_base import Changes, KnowledgeBase
from kb.sql_store import SqlStore

AUTHOR = "bench"
TENANT, BASE = "bench", "large"
_COLUMNS = ("id", "name", "state", "total", "created_at", "owner_id", "region", "score")


@contextmanager
def large_base(items: int) -> Iterator[KnowledgeBase]:
    """A base of so many items on `main`, gone when the block ends."""
    with large_file(items, item) as (base, _):
        yield base


@contextmanager
def large_file(items: int, make: Callable[[int], Item]) -> Iterator[tuple[KnowledgeBase, Path]]:
    """The same of any items, by their number, with the database's file."""
    with TemporaryDirectory(prefix="kvasir-bench-") as folder:
        path = Path(folder) / "state.sqlite"
        engine = state_database(path)
        try:
            base = KnowledgeBase.create(SqlStore(engine), TENANT, BASE, author=AUTHOR)
            put = tuple(make(number) for number in range(items))
            base.commit(Changes(put), author=AUTHOR, message=f"{items} items")
            yield base, path
        finally:
            engine.dispose()


def state_database(path: Path) -> Engine:
    engine = open_database(f"sqlite:///{path}")
    upgrade(engine)
    return engine


def item(number: int) -> Item:
    """Of ten items, seven are confirmed answers; a table, a metric and a gotcha make the rest."""
    table = f"table_{number // 10}"
    match number % 10:
        case 0:
            columns = tuple(Column(f"{name}_{number % 7}", "TEXT") for name in _COLUMNS)
            return Item(item_id("schema", table), f"Table {table}", Schema(table, columns))
        case 1:
            body = Metric(f"Figure {number} of {table}: its total where the state is open.", f"sum({table}.total_1)")
            return Item(item_id("metric", f"figure_{number}"), f"Figure {number}", body)
        case 2:
            text = f"Use {table}.total_1, not {table}.score_2."
            return Item(item_id("gotcha", f"gotcha_{number}"), text, Gotcha(text))
        case _:
            question = f"How many rows of {table} have region {number}?"
            answer = f"SELECT count(*) FROM {table} WHERE region_3 = {number}"
            return Item(item_id("success", f"success_{number}"), question, Success(question, answer))


def edited(number: int, edition: int) -> Item:
    """The item with another title: the smallest change there is."""
    return replace(item(number), title=f"Edition {edition} of item {number}")
