"""A replica follows the commits of another process: on SQLite and on PostgreSQL, two processes for real."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from kb.database import open_database, upgrade
from kb.follower import Follower
from kb.head_watch import watch_heads
from kb.items import Item, Metric
from kb.knowledge_base import Changes, KnowledgeBase
from kb.retrieval import Retriever
from kb.sql_store import SqlStore

PATIENCE_SECONDS = 60
"""What no working follower needs, on however busy a machine."""

REPLICA = """
import sys
import numpy as np
from kb.database import open_database
from kb.follower import Follower
from kb.knowledge_base import KnowledgeBase
from kb.retrieval import Retriever
from kb.sql_store import SqlStore

class Embedder:
    model, dimension = "none", 4
    def embed(self, texts):
        asked.extend(texts)
        return np.full((len(texts), 4), 0.5, dtype=np.float32)

class Told(Retriever):
    def prepare(self, base, *, revision="main"):
        commit = super().prepare(base, revision=revision)
        print("ready", commit.id, flush=True)
        return commit

asked = []
database = open_database(sys.argv[1])
store = SqlStore(database)
base = KnowledgeBase(store, "acme", "sales")
retriever = Told(store, Embedder())
follower = Follower(database, retriever, lambda: [(base, "main")])
follower.start()
for question in map(str.strip, sys.stdin):
    asked.clear()
    found = retriever.retrieve(base, question)
    print("found", *(hit.item.id for hit in found.hits), "embedding", len(asked), flush=True)
follower.stop()
"""


class Replica:
    """Another process that follows `main`."""

    def __init__(self, url: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", REPLICA, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def until(self, line: str) -> None:
        """Reads on to a line that starts so."""
        while not self._lines.get(timeout=PATIENCE_SECONDS).startswith(line):
            pass

    def ask(self, question: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        while not (line := self._lines.get(timeout=PATIENCE_SECONDS)).startswith("found"):
            pass
        return line.strip()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)


@contextmanager
def replica(url: str) -> Iterator[Replica]:
    running = Replica(url)
    try:
        yield running
    finally:
        assert running.process.stdin is not None
        running.process.stdin.close()
        try:
            running.process.wait(PATIENCE_SECONDS)
        finally:
            running.process.kill()
            running.process.wait()


@pytest.fixture
def database(url: str) -> Iterator[sa.Engine]:
    engine = open_database(url)
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def sales(database: sa.Engine) -> KnowledgeBase:
    return KnowledgeBase.create(SqlStore(database), "acme", "sales", author="ann")


def metric(name: str) -> Item:
    return Item(f"metric:{name}", name, Metric(f"The {name} of all orders."))


def put(base: KnowledgeBase, name: str) -> str:
    return base.commit(Changes((metric(name),)), author="ann", message=name).id


def test_a_replica_has_the_index_of_anothers_commit_before_a_request_needs_it(url: str, sales: KnowledgeBase) -> None:
    first = put(sales, "revenue")
    with replica(url) as other:
        other.until(f"ready {first}")
        for name in ("profit", "turnover"):
            other.until(f"ready {put(sales, name)}")
        # Of this request only the question itself and its masked form are embedded.
        assert other.ask("of all orders") == "found metric:profit metric:revenue metric:turnover embedding 2"


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_a_replica_that_lost_its_connection_follows_again(url: str, database: sa.Engine, sales: KnowledgeBase) -> None:
    with replica(url) as other:
        other.until(f"ready {sales.resolve().id}")
        with database.connect() as connection:
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
            assert connection.execute(sa.text(others)).scalars().all() == [True]
        other.until(f"ready {put(sales, 'revenue')}")
        other.until(f"ready {put(sales, 'profit')}")


def test_a_watch_tells_of_each_move_and_of_none_that_was_not(database: sa.Engine, sales: KnowledgeBase) -> None:
    watch = watch_heads(database)
    try:
        assert not watch.wait(0)
        put(sales, "revenue")
        assert watch.wait(PATIENCE_SECONDS)
        assert not watch.wait(0)
        sales.branch("draft")
        put(sales, "profit")
        assert watch.wait(PATIENCE_SECONDS)
    finally:
        watch.close()


class Unready:
    model, dimension = "none", 4

    def embed(self, texts: object) -> None:
        raise AssertionError("nothing is embedded")


def test_a_base_that_cannot_be_read_does_not_keep_the_others_waiting(database: sa.Engine, sales: KnowledgeBase) -> None:
    prepared = threading.Event()

    class Told(Retriever):
        def prepare(self, base, *, revision="main"):  # type: ignore[no-untyped-def]
            commit = super().prepare(base, revision=revision)
            prepared.set()
            return commit

    retriever = Told(SqlStore(database), Unready())  # type: ignore[arg-type]
    follower = Follower(database, retriever, lambda: [(sales, "no-such-branch"), (sales, "main")])
    follower.start()
    try:
        assert prepared.wait(PATIENCE_SECONDS)
    finally:
        follower.stop()


def test_what_fails_for_one_base_unforeseen_is_no_matter_of_the_others_and_what_did_not_move_is_not_made_again(
    database: sa.Engine, sales: KnowledgeBase
) -> None:
    broken = KnowledgeBase.create(SqlStore(database), "acme", "broken", author="ann")
    made: queue.Queue[str] = queue.Queue()

    class Told(Retriever):
        def prepare(self, base, *, revision="main"):  # type: ignore[no-untyped-def]
            made.put(base.name)
            if base.name == "broken":
                raise ZeroDivisionError("nobody foresaw this")
            return base.resolve(revision)

    retriever = Told(SqlStore(database), Unready())  # type: ignore[arg-type]
    follower = Follower(database, retriever, lambda: [(broken, "main"), (sales, "main")])
    follower.start()
    try:
        assert [made.get(timeout=PATIENCE_SECONDS) for _ in range(2)] == ["broken", "sales"]
        put(broken, "revenue")
        assert made.get(timeout=PATIENCE_SECONDS) == "broken"
        put(sales, "revenue")
        # What failed is tried again whenever something moves, so it may come once more before.
        names = [made.get(timeout=PATIENCE_SECONDS)]
        while "sales" not in names:
            names.append(made.get(timeout=PATIENCE_SECONDS))
        assert set(names) <= {"broken", "sales"}
    finally:
        follower.stop()


def test_a_follower_goes_on_when_its_bases_cannot_be_listed(database: sa.Engine, sales: KnowledgeBase) -> None:
    listed = threading.Semaphore(0)

    def heads() -> list[tuple[KnowledgeBase, str]]:
        listed.release()
        raise OSError("away")

    follower = Follower(database, Retriever(SqlStore(database), Unready()), heads)  # type: ignore[arg-type]
    follower.start()
    try:
        assert listed.acquire(timeout=PATIENCE_SECONDS)
        assert listed.acquire(timeout=PATIENCE_SECONDS)
    finally:
        follower.stop()
