"""What goes, what stays, and that writers at work lose nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kb.database import open_database, upgrade
from kb.errors import CommitNotFound, ObjectCorrupt
from kb.gc import gc
from kb.items import Item
from kb.knowledge_base import Changes, KnowledgeBase
from kb.memory_store import MemoryStore
from kb.objects import Commit, pack
from kb.sql_store import SqlStore
from kb.store import Store
from kb.verify import verify

MakeRule = Callable[..., Item]
START = 1_000_000.0


class Clock:
    """Seconds since 1970, moved by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def base(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[KnowledgeBase]:
    engine = None
    store: Store = MemoryStore(now=clock)
    if request.param != "memory":
        sqlite = f"sqlite:///{tmp_path}/state.sqlite"
        engine = open_database(sqlite if request.param == "sqlite" else request.getfixturevalue("fresh_postgres"))
        upgrade(engine)
        store = SqlStore(engine, now=clock)
    yield KnowledgeBase.create(store, "acme", "sales", author="ann")
    if engine is not None:
        engine.dispose()


def put(base: KnowledgeBase, *items: Item, branch: str = "main") -> Commit:
    return base.commit(Changes(items), author="ann", message="Put items", branch=branch)


def object_ids(base: KnowledgeBase) -> set[str]:
    return {each.id for each in base.store.objects(base.id)}


def abandoned(base: KnowledgeBase, rule: MakeRule) -> Commit:
    """A commit of forty rules on a branch that was deleted; it names 44 objects of its own."""
    before = object_ids(base)
    base.branch("draft")
    commit = put(base, *(rule(f"d{number}") for number in range(40)), branch="draft")
    base.delete_branch("draft")
    assert len(object_ids(base) - before) > 40
    return commit


def test_what_a_deleted_branch_held_goes_and_the_rest_stays(base: KnowledgeBase, rule: MakeRule, clock: Clock) -> None:
    put(base, rule("a", "one"))
    put(base, rule("a", "two"))
    base.tag("v1", at="main~1")
    before = {each.id: each.size for each in base.store.objects(base.id)}
    abandoned(base, rule)
    listed = {each.id: each.size for each in base.store.objects(base.id)}
    clock.now += 7201
    found = gc(base, now=clock)
    assert object_ids(base) == before.keys()
    assert (found.objects, found.total_bytes) == (len(listed), sum(listed.values()))
    assert found.deleted == len(listed) - len(before)
    assert found.deleted_bytes == sum(listed.values()) - sum(before.values())
    assert verify(base).clean
    assert base.item("rule:a", "v1") == rule("a", "one")
    assert gc(base, now=clock).deleted == 0


def test_a_dry_run_says_the_same_and_deletes_nothing(base: KnowledgeBase, rule: MakeRule, clock: Clock) -> None:
    abandoned(base, rule)
    clock.now += 7201
    before = object_ids(base)
    told = gc(base, now=clock, dry_run=True)
    assert told.dry_run
    assert object_ids(base) == before
    done = gc(base, now=clock)
    assert (done.deleted, done.deleted_bytes) == (told.deleted, told.deleted_bytes)
    assert len(before) - done.deleted == len(object_ids(base))


def test_young_objects_stay_with_all_they_reach(base: KnowledgeBase, rule: MakeRule, clock: Clock) -> None:
    old = abandoned(base, rule)
    clock.now += 7000
    base.branch("again", at=old.id)
    young = put(base, rule("young"), branch="again")
    base.delete_branch("again")
    clock.now += 7000
    assert gc(base, now=clock).deleted == 0
    assert base.diff(old.id, young.id).changes[0].id == "rule:young"
    assert len(base.snapshot(young.id).items) == 41
    clock.now += 300
    assert gc(base, now=clock).deleted > 40
    assert object_ids(base).isdisjoint({old.id, young.id})


def test_a_commit_or_an_item_that_is_to_be_kept_stays(base: KnowledgeBase, rule: MakeRule, clock: Clock) -> None:
    commit = abandoned(base, rule)
    item_hash = base.snapshot(commit.id).hashes["rule:d7"]
    clock.now += 7201
    assert gc(base, keep=[commit.id, "f" * 64], now=clock).deleted == 0
    assert len(base.snapshot(commit.id).items) == 40
    assert gc(base, keep=[item_hash], now=clock).deleted > 40
    assert base.items_by_hash([item_hash])[item_hash] == rule("d7")
    assert commit.id not in object_ids(base)


def test_another_base_of_the_same_store_is_left_alone(base: KnowledgeBase, rule: MakeRule, clock: Clock) -> None:
    other = KnowledgeBase.create(base.store, "other", "sales", author="eve")
    abandoned(other, rule)
    abandoned(base, rule)
    before = object_ids(other)
    clock.now += 7201
    gc(base, now=clock)
    assert object_ids(other) == before


def test_a_base_that_is_broken_is_not_collected(base: KnowledgeBase, rule: MakeRule, clock: Clock) -> None:
    put(base, rule("a"))
    abandoned(base, rule)
    with base.store.writers_held(base.id) as delete:
        delete([base.resolve("main~1").tree])
    clock.now += 7201
    before = object_ids(base)
    with pytest.raises(ObjectCorrupt, match="kvasir kb verify --kb sales"):
        gc(base, now=clock)
    assert object_ids(base) == before


def test_what_is_young_and_broken_does_not_stop_it(base: KnowledgeBase, rule: MakeRule, clock: Clock) -> None:
    abandoned(base, rule)
    clock.now += 7201
    half = pack("tree", b'{"children": {"0": ["missing", 1]}}')
    base.store.write(base.id, {**dict([half]), "e" * 64: b"no object"})
    assert gc(base, now=clock).deleted > 40
    assert {half[0], "e" * 64} <= object_ids(base)


def test_a_branch_made_while_the_marking_runs_is_seen(base: KnowledgeBase, rule: MakeRule, clock: Clock) -> None:
    old = abandoned(base, rule)
    clock.now += 7201
    made: list[Commit] = []

    def meanwhile(_marked: int) -> None:
        if not made:
            made.append(base.branch("rescued", at=old.id))
            put(base, rule("late"))

    assert gc(base, now=clock, grace_seconds=0, progress=meanwhile).deleted == 0
    assert verify(base).clean
    assert len(base.snapshot("rescued").items) == 40


def test_a_branch_at_a_commit_that_was_just_collected_is_refused(
    base: KnowledgeBase, rule: MakeRule, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = abandoned(base, rule)
    clock.now += 7201
    gc(base, now=clock)
    monkeypatch.setattr(base, "resolve", lambda _revision: old)  # as read a moment before
    for change in (
        lambda: base.branch("late", at=old.id),
        lambda: base.tag("late", at=old.id),
        lambda: base.reset_branch("late", old.id),
    ):
        with pytest.raises(CommitNotFound, match=old.id):
            change()
    assert list(base.branches()) == ["main"]
    assert base.tags() == {}


WRITER = """
import sys
from kb.database import open_database
from kb.items import Item, Rule
from kb.knowledge_base import Changes, KnowledgeBase
from kb.sql_store import SqlStore

url, who = sys.argv[1:]
base = KnowledgeBase(SqlStore(open_database(url)), "acme", "sales")
print("ready", flush=True)
sys.stdin.readline()
for step in range(12):
    # The same items again and again on branches that come and go: what one gc may delete, the next commit writes.
    branch = f"{who}/{step}"
    base.branch(branch)
    items = tuple(Item(f"rule:draft.{number}", "A rule", Rule("text")) for number in range(step % 3 * 20))
    mine = Item(f"rule:{who}", "A rule", Rule(str(step)))
    base.commit(Changes((*items, mine)), author=who, message="Draft", branch=branch)
    assert base.item(f"rule:{who}", branch).body.text == str(step)
    base.delete_branch(branch)
    base.commit(Changes((Item(f"rule:{who}.{step}", "A rule", Rule("text")),)), author=who, message=f"Step {step}")
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_writers_at_work_lose_nothing_to_a_gc_without_grace(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    sqlite = f"sqlite:///{tmp_path}/state.sqlite"
    url: str = sqlite if kind == "sqlite" else request.getfixturevalue("fresh_postgres")
    engine = open_database(url)
    upgrade(engine)
    base = KnowledgeBase.create(SqlStore(engine), "acme", "sales", author="ann")
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, url, f"w{number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environ,
        )
        for number in range(3)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    deleted = runs = 0
    while any(writer.poll() is None for writer in writers):
        deleted += gc(base, grace_seconds=0).deleted
        runs += 1
    complaints = [writer.communicate()[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0], complaints
    deleted += gc(base, grace_seconds=0).deleted
    assert deleted > 36
    assert runs > 3
    assert verify(base).clean
    assert len(base.log()) == 37
    assert sorted(base.snapshot().items) == sorted(f"rule:w{n}.{step}" for n in range(3) for step in range(12))
    engine.dispose()
