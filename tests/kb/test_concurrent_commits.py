"""Several writers of one base: rebased, told of a conflict, never lost. Threads and processes for real."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kb.database import open_database, upgrade
from kb.errors import BranchNotFound, Conflict
from kb.items import Item
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
