"""Items of every kind (`st.from_type(Item)`) whose text tries to break what writes it; a base; a small database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest
import sqlalchemy as sa
from hypothesis import strategies as st

from kb.items import (
    Column,
    Document,
    Entity,
    Gotcha,
    Item,
    Loss,
    LostColumn,
    Metric,
    Preference,
    Provenance,
    Relationship,
    Rule,
    Schema,
    Status,
    Success,
    Template,
    Usage,
)
from kb.knowledge_base import KnowledgeBase
from kb.memory_store import MemoryStore

LOOK_ALIKES = ["no", "yes", "y", "on", "null", "~", "true", "1e3", "007", "0x1F", "1_000", "1:30", ".5", "-1"]
LOOK_ALIKES += ["2024-01-01", "2024-01-01T10:00:00Z", "=", "<<", "-", "?", "---", "...", "%YAML", "!!int 3", "&a", "*a"]
FRAGMENTS = ["\n", "\n\n", "\r\n", "\r", "\t", " ", "  ", "---\n", "\n---\n", "```", "```sql\n", "\n```\n", "````", "`"]
FRAGMENTS += ["a", "SELECT 1", "# x", ": ", " #", "- ", "'", '"', "\\", "{", "[", "|", ">", "é", "日本", "🎈", "id: x"]
FRAGMENTS += ["\u2028", "\u2029", "\x85", "\x1b", "\x7f", "\ufeff", "\ufffe", "\u00a0", "\u3000", "\U0010ffff"]

any_text = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30),
    st.sampled_from(LOOK_ALIKES),
    st.lists(st.sampled_from([*FRAGMENTS, *LOOK_ALIKES]), max_size=8).map("".join),
)
texts = st.lists(any_text, max_size=3).map(tuple)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+=-]{0,12}", fullmatch=True)
columns = st.builds(
    Column, any_text, any_text, nullable=st.booleans(), primary_key=st.booleans(), comment=any_text, samples=texts
)
bodies = st.one_of(
    st.builds(
        Schema,
        any_text,
        st.lists(columns, max_size=3, unique_by=lambda column: column.name).map(tuple),
        database=any_text,
        comment=any_text,
        row_count=st.none() | st.integers(min_value=0),
    ),
    st.builds(
        lambda left, right, pairs, **fields: Relationship(
            left, tuple(pair[0] for pair in pairs), right, tuple(pair[1] for pair in pairs), **fields
        ),
        any_text,
        any_text,
        st.lists(st.tuples(any_text, any_text), min_size=1, max_size=3),
        database=any_text,
        comment=any_text,
    ),
    st.builds(Metric, any_text, any_text),
    st.builds(Template, any_text, any_text),
    st.builds(Gotcha, any_text, any_text, any_text),
    st.builds(Success, any_text, any_text),
    st.builds(Rule, any_text),
    st.builds(Document, any_text, any_text),
    st.builds(Preference, any_text, any_text),
)
_items = st.builds(
    # Of an item in use, a commit would take away what it says to have lost.
    lambda name, body, status, lost, **head: Item(
        id=f"{body.kind}:{name}", body=body, status=status, lost=() if status == "active" else lost, **head
    ),
    names,
    bodies,
    title=any_text.filter(str.strip),
    entities=st.lists(st.builds(Entity, any_text, texts), max_size=2).map(tuple),
    refs=texts,
    depends_on=texts,
    schema_fingerprint=any_text,
    usage=st.sampled_from(get_args(Usage)),
    status=st.sampled_from(get_args(Status)),
    lost=st.lists(
        st.builds(
            LostColumn,
            any_text.map(lambda text: f"of no table.{text}"),
            any_text,
            st.sampled_from(get_args(Loss)),
            any_text,
        ),
        max_size=2,
    ).map(tuple),
    supersedes=texts,
    provenance=st.none() | st.builds(Provenance, any_text, any_text, any_text, any_text, any_text),
)


@st.composite
def items(draw: st.DrawFn) -> Item:
    return draw(_items)


st.register_type_strategy(Item, items())

MakeRule = Callable[..., Item]


@pytest.fixture
def rule() -> MakeRule:
    def make(name: str = "utc", text: str = "Times are UTC.") -> Item:
        return Item(id=f"rule:{name}", title=f"The rule {name}", body=Rule(text))

    return make


@pytest.fixture
def base() -> KnowledgeBase:
    return KnowledgeBase.create(MemoryStore(), "acme", "sales", author="ann")


SHOP = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name VARCHAR(40) NOT NULL, country TEXT);
CREATE TABLE order_items (
    order_id INTEGER, line INTEGER, price NUMERIC(10, 2), PRIMARY KEY (order_id, line)
);
CREATE TABLE shipments (
    id INTEGER PRIMARY KEY, order_id INTEGER, line INTEGER,
    buyer_id INTEGER REFERENCES customers (id),
    FOREIGN KEY (order_id, line) REFERENCES order_items (order_id, line)
);
CREATE VIEW germans AS SELECT id, name FROM customers WHERE country = 'DE';
INSERT INTO customers VALUES (1, 'Ann', 'FR'), (2, 'Bob', 'DE'), (3, 'Cid', 'DE'), (4, 'Dan', NULL);
"""
Run = Callable[[str], None]


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/a #1% shop.sqlite"
    fresh: str = request.getfixturevalue("fresh_postgres")
    return fresh


@pytest.fixture
def run(url: str) -> Iterator[Run]:
    """Runs statements on the database, which starts as the shop."""

    def run(statements: str) -> None:
        if url.startswith("sqlite"):
            file = sqlite3.connect(url.removeprefix("sqlite:///"))
            file.executescript(statements)
            file.close()
            return
        with engine.begin() as connection:
            connection.exec_driver_sql(statements.replace("%", "%%"))

    engine = sa.create_engine(url)
    run(SHOP)
    yield run
    engine.dispose()
