"""Every kind of damage is found, and told with what reaches it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete, text, update

from kb.codec import canonical_json
from kb.database import open_database, transaction, upgrade
from kb.items import Item
from kb.knowledge_base import Changes, KnowledgeBase
from kb.memory_store import MemoryStore
from kb.merge import merge
from kb.objects import Commit, pack, pack_commit
from kb.sql_store import SqlStore
from kb.store import RefMove
from kb.tables import objects
from kb.verify import verify

MakeRule = Callable[..., Item]


def put(base: KnowledgeBase, *items: Item, branch: str = "main") -> Commit:
    return base.commit(Changes(items), author="ann", message="Put items", branch=branch)


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    sqlite = f"sqlite:///{tmp_path}/state.sqlite"
    engine = open_database(sqlite if request.param == "sqlite" else request.getfixturevalue("fresh_postgres"))
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def stored(engine: Engine, rule: MakeRule) -> KnowledgeBase:
    """Sixty rules, so that the tree has two levels; then a change of `r1`."""
    base = KnowledgeBase.create(SqlStore(engine), "acme", "sales", author="ann")
    put(base, *(rule(f"r{number}") for number in range(60)))
    put(base, rule("r1", "changed"))
    return base


def damage(engine: Engine, object_id: str, data: bytes | None) -> None:
    row = objects.c.object_id == object_id
    with transaction(engine) as connection:
        change = delete(objects).where(row) if data is None else update(objects).where(row).values(data=data)
        assert connection.execute(change).rowcount == 1


def test_a_whole_base_is_clean_and_every_object_was_read(stored: KnowledgeBase, rule: MakeRule) -> None:
    stored.branch("draft", at="main~1")
    put(stored, rule("other"), branch="draft")
    merge(stored, "draft", author="bob")
    stored.tag("v1")
    told: list[int] = []
    found = verify(stored, progress=told.append)
    assert found.clean
    assert found.checked["commit"] == 5
    assert found.checked["item"] == 62
    assert sum(found.checked.values()) == told[-1] == len(list(stored.store.objects(stored.id)))


@pytest.mark.parametrize(("data", "fault"), [(None, "missing"), (b"kvasir item 1\n{}", "corrupt"), (b"", "corrupt")])
def test_a_broken_item_is_told_with_the_way_to_it(
    stored: KnowledgeBase, engine: Engine, data: bytes | None, fault: str
) -> None:
    item_hash = stored.snapshot().hashes["rule:r7"]
    damage(engine, item_hash, data)
    (problem,) = verify(stored).problems
    assert (problem.fault, problem.object_id, problem.tag) == (fault, item_hash, "item")
    ref, commit, tree, item = problem.reached_by
    assert (ref, commit, item) == ("heads/main", f"commit {stored.resolve().id}", "rule:r7")
    node = json.loads(stored.tree_node(stored.resolve().tree))["children"][str(int(tree.removeprefix("tree /"), 16))][0]
    assert "rule:r7" in json.loads(stored.tree_node(node))["entries"]


def test_a_broken_tree_is_told_and_its_other_branches_are_still_walked(stored: KnowledgeBase, engine: Engine) -> None:
    head = stored.resolve()
    slot, (node, _) = next(iter(json.loads(stored.tree_node(head.tree))["children"].items()))
    missing = stored.snapshot().hashes["rule:r1"]
    damage(engine, missing, None)
    damage(engine, node, b"no tree")
    problems = {problem.object_id: problem for problem in verify(stored).problems}
    assert problems[node].fault == "corrupt"
    assert problems[node].reached_by[:2] == ("heads/main", f"commit {head.id}")
    assert problems[node].reached_by[2] == f"tree /{int(slot):x}"
    assert set(problems) <= {node, missing}


def test_a_broken_commit_is_told_with_the_commit_that_names_it(stored: KnowledgeBase, engine: Engine) -> None:
    head, parent = stored.resolve(), stored.resolve("main~1")
    damage(engine, parent.id, None)
    (problem,) = verify(stored).problems
    assert (problem.fault, problem.tag, problem.object_id) == ("missing", "commit", parent.id)
    assert problem.reached_by == ("heads/main", f"commit {head.id}")
    assert not problem.dangling_ref


def test_a_ref_to_nothing_and_a_ref_to_no_commit_are_told(stored: KnowledgeBase) -> None:
    item_hash = stored.snapshot().hashes["rule:r1"]
    stored.store.write(stored.id, {}, [RefMove("heads/gone", None, "f" * 64), RefMove("tags/odd", None, item_hash)])
    found = {problem.reached_by: problem for problem in verify(stored).problems if problem.dangling_ref}
    assert found[("heads/gone",)].fault == "missing"
    assert found[("tags/odd",)].fault == "wrong kind"


def test_text_written_into_a_row_by_hand_is_damage_and_no_crash(tmp_path: Path, rule: MakeRule) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/state.sqlite")
    upgrade(engine)
    base = KnowledgeBase.create(SqlStore(engine), "acme", "sales", author="ann")
    put(base, rule("a"))
    with transaction(engine) as connection:
        connection.execute(text("UPDATE kb_objects SET data = 'oops'"))
    (problem,) = verify(base).problems
    assert (problem.fault, problem.reached_by) == ("corrupt", ("heads/main",))
    engine.dispose()


def test_objects_that_hash_right_and_hold_nonsense_are_told(base: KnowledgeBase, rule: MakeRule) -> None:
    """What a broken writer, not a broken disk, leaves."""
    written: dict[str, bytes] = {}

    def keep(packed: tuple[str, bytes]) -> str:
        written[packed[0]] = packed[1]
        return packed[0]

    item = keep(pack("item", b"{}"))
    other = keep(pack("item", canonical_json({"id": "rule:b", "title": "B", "body": {"text": "b"}})))
    nonsense = [keep(pack("tree", content)) for content in (b"[]", b"{", b'{"children": {"x": 3}}', b'"entries"')]
    leaf = keep(pack("tree", canonical_json({"entries": {"rule:a": item, "rule:c": other}})))
    root = keep(pack("tree", canonical_json({"children": {str(n): [t, 1] for n, t in enumerate([leaf, *nonsense])}})))
    said = {"author": "a", "message": "m", "created_at": "t", "evidence": {}}
    commit, data = pack_commit("other/base", root, (root,), **said)  # type: ignore[arg-type]
    odd = keep(pack("commit", b'{"parents": 1}'))
    moves = [RefMove("heads/odd", None, commit.id), RefMove("heads/odder", None, odd)]
    base.store.write(base.id, {**written, commit.id: data}, moves)
    found = {(problem.object_id, problem.fault) for problem in verify(base).problems}
    assert found >= {(node, "unreadable") for node in (*nonsense, item, odd)}
    assert found >= {(other, "misplaced"), (commit.id, "misplaced"), (root, "wrong kind")}


def test_nothing_is_read_twice(rule: MakeRule) -> None:
    class Counting(MemoryStore):
        read_ids: list[str]

        def read(self, base, object_ids):  # type: ignore[no-untyped-def]
            self.read_ids += object_ids
            return super().read(base, object_ids)

    store = Counting()
    store.read_ids = []
    base = KnowledgeBase.create(store, "acme", "sales", author="ann")
    for number in range(40):
        put(base, rule(f"r{number}"))
    store.read_ids.clear()
    assert verify(base).clean
    assert len(store.read_ids) == len(set(store.read_ids)) == len(list(store.objects(base.id)))
