"""Several writers of one base: rebased, told of a conflict, never lost. Threads and processes for real."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kb.database import open_database, upgrade
from kb.errors import BranchNotFound, Conflict
from kb.items import Column, Item, Rule, Schema
from kb.knowledge_base import Changes, KnowledgeBase
from kb.memory_store import MemoryStore
from kb.objects import Commit
from kb.sql_store import SqlStore
from kb.verify import verify

MakeRule = Callable[..., Item]


def put(base: KnowledgeBase, *items: Item, branch: str = "main", onto: str | None = None) -> Commit:
    return base.commit(Changes(items), author="ann", message="Put items", branch=branch, onto=onto)


def test_a_second_writer_of_other_items_is_rebased(base: KnowledgeBase, rule: MakeRule) -> None:
    known = base.resolve().id
    first = put(base, rule("a"), onto=known)
    second = put(base, rule("b"), onto=known)
    assert second.parents == (first.id,)
    assert list(base.snapshot().items) == ["rule:a", "rule:b"]


def test_a_second_writer_of_the_same_item_is_told(base: KnowledgeBase, rule: MakeRule) -> None:
    known = put(base, rule("a", "one"), rule("b")).id
    put(base, rule("a", "two"), onto=known)
    for changes in (Changes((rule("c"), rule("a", "three"))), Changes(remove=("rule:a",))):
        with pytest.raises(Conflict, match="rule:a changed there meanwhile") as caught:
            base.commit(changes, author="bob", message="Late", onto=known)
        assert caught.value.items == ("rule:a",)
    assert base.item("rule:a") == rule("a", "two")


class Interrupted(MemoryStore):
    """A store where another writer is always a moment faster, as often as `interruptions` says."""

    interruptions: list[Callable[[], object]]

    def write(self, base, objects, moves=(), *, present=()):  # type: ignore[no-untyped-def]
        if moves and self.interruptions:
            self.interruptions.pop(0)()
        super().write(base, objects, moves, present=present)


@pytest.fixture
def contested() -> KnowledgeBase:
    store = Interrupted()
    store.interruptions = []
    return KnowledgeBase.create(store, "acme", "sales", author="ann")


def interrupt(base: KnowledgeBase, *interruptions: Callable[[], object]) -> None:
    assert isinstance(base.store, Interrupted)
    base.store.interruptions = list(interruptions)


def test_a_writer_that_loses_the_race_tries_again_on_the_new_head(contested: KnowledgeBase, rule: MakeRule) -> None:
    interrupt(contested, lambda: put(contested, rule("a")), lambda: None, lambda: put(contested, rule("b")))
    commit = put(contested, rule("c"))
    assert contested.resolve() == commit
    assert list(contested.snapshot().items) == ["rule:a", "rule:b", "rule:c"]
    assert len(contested.log()) == 4


def test_a_writer_that_loses_the_race_for_its_item_is_told(contested: KnowledgeBase, rule: MakeRule) -> None:
    interrupt(contested, lambda: put(contested, rule("a", "theirs")))
    with pytest.raises(Conflict, match="rule:a"):
        put(contested, rule("a", "ours"))
    assert contested.item("rule:a") == rule("a", "theirs")


def test_a_branch_deleted_meanwhile_is_not_made_again(contested: KnowledgeBase, rule: MakeRule) -> None:
    contested.branch("draft")
    interrupt(contested, lambda: contested.delete_branch("draft"))
    with pytest.raises(BranchNotFound):
        put(contested, rule("a"), branch="draft")
    assert list(contested.branches()) == ["main"]


def test_threads_that_commit_at_once_lose_nothing(base: KnowledgeBase, rule: MakeRule) -> None:
    def work(number: int) -> None:
        for step in range(10):
            put(base, rule(f"t{number}.{step}"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert len(base.snapshot().items) == 40
    assert len(base.log()) == 41


WRITERS = """
import multiprocessing
import sys
from kb.database import open_database
from kb.items import Item, Rule
from kb.knowledge_base import Changes, KnowledgeBase
from kb.sql_store import SqlStore

url, writers, steps = sys.argv[1:]

def work(who, start):
    base = KnowledgeBase(SqlStore(open_database(url)), "acme", "sales")
    start.wait()
    for step in range(int(steps)):
        item = Item(f"rule:{who}.{step}", "A rule", Rule("text"))
        base.commit(Changes((item,)), author=who, message=f"Step {step}")

# Forked, so that the libraries are imported once and not by each.
context = multiprocessing.get_context("fork")
start = context.Barrier(int(writers))
processes = [context.Process(target=work, args=(f"w{number}", start)) for number in range(int(writers))]
for process in processes:
    process.start()
for process in processes:
    process.join()
sys.exit(sum(process.exitcode != 0 for process in processes))
"""


CONTENDERS = """
import json
import multiprocessing
import sys
from kb.database import open_database
from kb.errors import Conflict
from kb.items import Item, Rule, Template
from kb.knowledge_base import Changes, KnowledgeBase
from kb.sql_store import SqlStore

url, work, writers, steps = sys.argv[1:]

def opened():
    return KnowledgeBase(SqlStore(open_database(url)), "acme", "sales")

def count(who, start, told):
    # Reads, adds one, and writes for the commit that it read; again where another came first.
    base, conflicts = opened(), 0
    for step in range(int(steps)):
        while True:
            known = base.resolve().id
            text = base.item("rule:counter", known).body.text
            if not step and not conflicts:
                start.wait()
            mine = Item(f"rule:{who}.{step}", "A rule", Rule(text))
            counter = Item("rule:counter", "The counter", Rule(str(int(text) + 1)))
            try:
                base.commit(Changes((counter, mine)), author=who, message=text, onto=known)
                break
            except Conflict as conflict:
                assert conflict.items == ("rule:counter",), conflict.items
                conflicts += 1
    told.put(conflicts)

def ask(who, start, told):
    # Writes queries over a column that w0 takes away meanwhile.
    base = opened()
    known = base.resolve().id
    start.wait()
    for step in range(int(steps)):
        if who == "w0":
            changes = Changes(remove=("schema:orders",)) if step == int(steps) // 2 else Changes()
        else:
            query = Template("How many?", "SELECT count(state) FROM orders")
            changes = Changes((Item(f"template:{who}.{step}", "How many?", query),))
        if changes.ids:
            base.commit(changes, author=who, message=f"Step {step}", onto=known)
    told.put(0)

context = multiprocessing.get_context("fork")
start, told = context.Barrier(int(writers)), context.Queue()
target = {"count": count, "ask": ask}[work]
processes = [context.Process(target=target, args=(f"w{number}", start, told)) for number in range(int(writers))]
for process in processes:
    process.start()
for process in processes:
    process.join()
failed = sum(process.exitcode != 0 for process in processes)
if not failed:
    print(sum(told.get() for _ in processes))
sys.exit(failed)
"""


@pytest.fixture(params=["sqlite", "postgres"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, KnowledgeBase]]:
    """The URL of a state database, and the base `sales` in it."""
    sqlite = f"sqlite:///{tmp_path}/state.sqlite"
    url: str = sqlite if request.param == "sqlite" else request.getfixturevalue("fresh_postgres")
    engine = open_database(url)
    upgrade(engine)
    yield url, KnowledgeBase.create(SqlStore(engine), "acme", "sales", author="ann")
    engine.dispose()


def contend(url: str, work: str, writers: int, steps: int) -> int:
    """How often writers were told of a conflict, all together."""
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", CONTENDERS, url, work, str(writers), str(steps)]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return int(ended.stdout)


def test_processes_that_write_one_item_are_told_and_no_write_is_lost(
    shared: tuple[str, KnowledgeBase], rule: MakeRule
) -> None:
    url, base = shared
    put(base, rule("counter", "0"))
    conflicts = contend(url, "count", 8, 5)
    # All read the first state before anybody wrote: one of them is right, and seven are told.
    assert conflicts >= 7
    assert base.item("rule:counter").body == Rule("40")
    items = base.snapshot().items
    assert set(items) == {"rule:counter"} | {f"rule:w{number}.{step}" for number in range(8) for step in range(5)}
    # Each wrote on top of what it had read: every state of the counter was seen by exactly one.
    assert [commit.message for commit in reversed(base.log()[:-2])] == [str(state) for state in range(40)]
    assert verify(base).clean


def test_queries_that_race_with_a_change_of_their_table_all_end_in_quarantine(
    shared: tuple[str, KnowledgeBase],
) -> None:
    url, base = shared
    put(base, Item("schema:orders", "Orders", Schema("orders", (Column("state", "TEXT"),))))
    contend(url, "ask", 6, 6)
    items = base.snapshot().items
    assert set(items) == {f"template:w{number}.{step}" for number in range(1, 6) for step in range(6)}
    assert {item.status for item in items.values()} == {"quarantined"}
    assert verify(base).clean


@pytest.mark.parametrize(("kind", "steps"), [("sqlite", 100), ("postgres", 10)])
def test_ten_processes_that_commit_at_once_lose_nothing(
    kind: str, steps: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    sqlite = f"sqlite:///{tmp_path}/state.sqlite"
    url: str = sqlite if kind == "sqlite" else request.getfixturevalue("fresh_postgres")
    engine = open_database(url)
    upgrade(engine)
    base = KnowledgeBase.create(SqlStore(engine), "acme", "sales", author="ann")
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", WRITERS, url, "10", str(steps)]
    ended = subprocess.run(command, env=environ, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    expected = sorted(f"rule:w{number}.{step}" for number in range(10) for step in range(steps))
    assert list(base.snapshot().items) == expected
    log = base.log()
    assert len(log) == 10 * steps + 1
    for number in range(10):
        told = [commit.message for commit in log if commit.author == f"w{number}"]
        assert told == [f"Step {step}" for step in reversed(range(steps))]
    found = verify(base)
    assert found.clean
    assert found.checked["commit"] == len(log)
    # A writer that lost the race left nothing behind.
    assert sum(found.checked.values()) == len(list(base.store.objects(base.id)))
    engine.dispose()
