"""The store contract of `kb/store.py`, over every implementation."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from kb.database import open_database, upgrade
from kb.dry_run_store import DryRunStore
from kb.errors import AlreadyExists, BaseNotFound, ObjectCorrupt, RefMoved
from kb.memory_store import MemoryStore
from kb.sql_store import SqlStore
from kb.store import BaseId, RefMove, Store

SALES = BaseId("acme", "sales")


@pytest.fixture(params=["memory", "dry run", "sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    if request.param == "dry run":
        yield DryRunStore(MemoryStore())
        return
    sqlite = f"sqlite:///{tmp_path}/state.sqlite"
    url = sqlite if request.param == "sqlite" else request.getfixturevalue("fresh_postgres")
    engine = open_database(url)
    upgrade(engine)
    yield SqlStore(engine)
    engine.dispose()


@pytest.fixture
def sales(store: Store) -> Store:
    store.create_base(SALES)
    return store


def some_objects(count: int, seed: str = "") -> dict[str, bytes]:
    contents = [f"{seed}{number}".encode() for number in range(count)]
    return {hashlib.sha256(content).hexdigest(): content for content in contents}


def in_threads(count: int, work: Callable[[int], object]) -> None:
    """Runs `work` in threads that start together; raises what one of them raised."""
    barrier = threading.Barrier(count)

    def run(number: int) -> None:
        barrier.wait()
        work(number)

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(run, range(count)))


def test_bases_are_listed_by_name_for_their_tenant_only(store: Store) -> None:
    for base in (BaseId("acme", "sales"), BaseId("acme", "hr"), BaseId("other", "sales")):
        store.create_base(base)
    assert store.bases("acme") == ["hr", "sales"]
    assert store.bases("other") == ["sales"]
    assert store.bases("nobody") == []


def test_a_base_is_made_once(sales: Store) -> None:
    with pytest.raises(AlreadyExists, match="sales"):
        sales.create_base(SALES)


def test_an_unknown_base_is_refused_everywhere(sales: Store) -> None:
    unknown = BaseId("other", "sales")
    calls: list[Callable[[], object]] = [
        lambda: sales.write(unknown, {}),
        lambda: sales.read(unknown, []),
        lambda: sales.find(unknown, "ab"),
        lambda: sales.refs(unknown),
        lambda: list(sales.objects(unknown)),
        lambda: sales.writers_held(unknown).__enter__(),
    ]
    for call in calls:
        with pytest.raises(BaseNotFound):
            call()


def test_objects_come_back_as_they_were_written(sales: Store) -> None:
    objects = {**some_objects(3), "f" * 64: bytes(range(256)), "e" * 64: b""}
    sales.write(SALES, objects)
    assert sales.read(SALES, [*objects, "0" * 64]) == objects
    assert sales.read(SALES, []) == {}


def test_more_objects_than_a_statement_may_name_are_read_at_once(sales: Store) -> None:
    objects = some_objects(1500)
    sales.write(SALES, objects)
    assert sales.read(SALES, objects) == objects


def test_an_object_that_exists_is_left_as_it_is(sales: Store) -> None:
    sales.write(SALES, {"a" * 64: b"first"})
    sales.write(SALES, {"a" * 64: b"second", "b" * 64: b"new"})
    assert sales.read(SALES, ["a" * 64, "b" * 64]) == {"a" * 64: b"first", "b" * 64: b"new"}


def test_a_store_keeps_its_own_copies(sales: Store) -> None:
    objects = {"a" * 64: b"first"}
    sales.write(SALES, objects, [RefMove("heads/main", None, "a" * 64)])
    objects["b" * 64] = b"later"
    sales.read(SALES, ["a" * 64]).clear()
    sales.refs(SALES).clear()
    assert sales.read(SALES, ["a" * 64, "b" * 64]) == {"a" * 64: b"first"}
    assert sales.refs(SALES) == {"heads/main": "a" * 64}


def test_a_tenant_sees_nothing_of_another_tenants_base_of_the_same_name(sales: Store) -> None:
    other = BaseId("other", "sales")
    sales.create_base(other)
    sales.write(SALES, {"a" * 64: b"ours"}, [RefMove("heads/main", None, "a" * 64)])
    assert sales.read(other, ["a" * 64]) == {}
    assert sales.find(other, "a") == []
    assert sales.refs(other) == {}
    sales.write(other, {"a" * 64: b"theirs"}, [RefMove("heads/main", None, "b" * 64)])
    assert sales.read(SALES, ["a" * 64]) == {"a" * 64: b"ours"}
    assert sales.refs(SALES) == {"heads/main": "a" * 64}


def test_ids_are_found_by_their_beginning(sales: Store) -> None:
    ids = ["ab00" + "0" * 60, "ab0f" + "f" * 60, "abff" + "f" * 60, "ac00" + "0" * 60]
    sales.write(SALES, dict.fromkeys(ids, b"x"))
    assert sales.find(SALES, "ab") == ids[:3]
    assert sales.find(SALES, "ab0") == ids[:2]
    assert sales.find(SALES, ids[3]) == [ids[3]]
    assert sales.find(SALES, "ff") == []


def test_at_most_ten_ids_are_found(sales: Store) -> None:
    ids = sorted(f"ab{number:062x}" for number in range(15))
    sales.write(SALES, dict.fromkeys(ids, b"x"))
    assert sales.find(SALES, "ab") == ids[:10]


def test_refs_are_made_moved_and_removed(sales: Store) -> None:
    sales.write(SALES, {}, [RefMove("heads/main", None, "a"), RefMove("tags/v1", None, "a")])
    sales.write(SALES, {}, [RefMove("heads/main", "a", "b")])
    assert sales.refs(SALES) == {"heads/main": "b", "tags/v1": "a"}
    sales.write(SALES, {}, [RefMove("tags/v1", "a", None)])
    assert sales.refs(SALES) == {"heads/main": "b"}


@pytest.mark.parametrize(
    ("move", "found"),
    [
        (RefMove("heads/main", "x", "b"), "a"),
        (RefMove("heads/main", None, "b"), "a"),
        (RefMove("heads/main", "x", None), "a"),
        (RefMove("heads/main", None, None), "a"),
        (RefMove("heads/absent", "a", "b"), None),
        (RefMove("heads/absent", "a", None), None),
    ],
)
def test_a_ref_that_is_elsewhere_is_not_moved_and_nothing_is_kept(
    sales: Store, move: RefMove, found: str | None
) -> None:
    sales.write(SALES, {}, [RefMove("heads/main", None, "a"), RefMove("heads/other", None, "a")])
    with pytest.raises(RefMoved) as caught:
        sales.write(SALES, {"c" * 64: b"new"}, [RefMove("heads/other", "a", "b"), move])
    assert (caught.value.ref, caught.value.expected, caught.value.found) == (move.ref, move.expected, found)
    assert sales.refs(SALES) == {"heads/main": "a", "heads/other": "a"}
    assert sales.read(SALES, ["c" * 64]) == {}


def test_of_writers_that_move_a_ref_at_once_exactly_one_wins(sales: Store) -> None:
    sales.write(SALES, {}, [RefMove("heads/main", None, "start")])
    won: list[int] = []

    def move(number: int) -> None:
        try:
            sales.write(SALES, some_objects(5, str(number)), [RefMove("heads/main", "start", f"end{number}")])
        except RefMoved:
            return
        won.append(number)

    in_threads(8, move)
    assert len(won) == 1
    assert sales.refs(SALES) == {"heads/main": f"end{won[0]}"}
    for number in range(8):
        objects = some_objects(5, str(number))
        assert sales.read(SALES, objects) == (objects if number in won else {})


def test_of_writers_that_make_a_base_or_a_ref_at_once_exactly_one_wins(store: Store) -> None:
    refused: list[Exception] = []

    def create(number: int) -> None:
        try:
            store.create_base(SALES)
        except AlreadyExists as exc:
            refused.append(exc)
        try:
            store.write(SALES, {}, [RefMove("heads/main", None, f"c{number}")])
        except RefMoved as exc:
            refused.append(exc)

    in_threads(6, create)
    assert sorted(type(exc).__name__ for exc in refused) == ["AlreadyExists"] * 5 + ["RefMoved"] * 5


def test_writers_of_the_same_objects_do_not_hinder_each_other(sales: Store) -> None:
    objects = some_objects(200)

    def write(number: int) -> None:
        keys = sorted(objects, reverse=bool(number % 2))
        for _ in range(3):
            sales.write(SALES, {key: objects[key] for key in keys})

    in_threads(6, write)
    assert sales.read(SALES, objects) == objects


def test_reads_go_on_while_others_write(sales: Store) -> None:
    sales.write(SALES, {}, [RefMove("heads/main", None, "0")])

    def work(number: int) -> None:
        if number == 0:
            for step in range(20):
                sales.write(SALES, some_objects(3, str(step)), [RefMove("heads/main", str(step), str(step + 1))])
            return
        seen = 0
        for _ in range(20):
            now = int(sales.refs(SALES)["heads/main"])
            assert now >= seen
            # A ref never runs ahead of the objects that were written with it.
            assert len(sales.read(SALES, some_objects(3, str(now - 1)))) == (3 if now else 0)
            seen = now

    in_threads(4, work)
    assert sales.refs(SALES) == {"heads/main": "20"}


def test_objects_are_listed_with_their_size_and_the_time_they_were_first_written(sales: Store) -> None:
    before = time.time()
    sales.write(SALES, {"a" * 64: b"four", "b" * 64: b""})
    between = time.time()
    time.sleep(0.01)
    sales.write(SALES, {"a" * 64: b"four", "c" * 64: b"12345"})
    listed = {each.id: each for each in sales.objects(SALES)}
    assert {key: each.size for key, each in listed.items()} == {"a" * 64: 4, "b" * 64: 0, "c" * 64: 5}
    assert before <= listed["a" * 64].written_at <= between < listed["c" * 64].written_at <= time.time()
    assert [each.id for each in sales.objects(SALES, written_after=between)] == ["c" * 64]


def test_a_write_that_needs_what_is_not_there_keeps_nothing(sales: Store) -> None:
    sales.write(SALES, {"a" * 64: b"here"})
    sales.write(SALES, {}, [RefMove("heads/main", None, "x")], present=["a" * 64])
    with pytest.raises(ObjectCorrupt, match="is missing") as caught:
        sales.write(SALES, {"c" * 64: b"new"}, [RefMove("heads/main", "x", "y")], present=["a" * 64, "b" * 64])
    assert caught.value.object_id == "b" * 64
    assert sales.refs(SALES) == {"heads/main": "x"}
    assert sales.read(SALES, ["c" * 64]) == {}


def test_writers_wait_while_they_are_held_and_readers_do_not(sales: Store) -> None:
    objects = some_objects(1200)
    sales.write(SALES, objects)
    ended: list[float] = []

    def write() -> None:
        sales.write(SALES, {"a" * 64: b"new"})
        ended.append(time.monotonic())

    writer = threading.Thread(target=write)
    with sales.writers_held(SALES) as delete:
        writer.start()
        delete(list(objects)[:1100])
        assert len(sales.read(SALES, [*objects])) in (100, 1200)
        time.sleep(0.2)
        released = time.monotonic()
    writer.join()
    assert ended[0] >= released
    assert sales.read(SALES, [*objects, "a" * 64]).keys() == {*list(objects)[1100:], "a" * 64}


def test_a_deletion_that_fails_deletes_nothing(sales: Store) -> None:
    objects = some_objects(3)
    sales.write(SALES, objects)

    def fail() -> None:
        with sales.writers_held(SALES) as delete:
            delete(list(objects))
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        fail()
    assert sales.read(SALES, objects) == objects


def test_vectors_come_back_bit_for_bit_by_model(store: Store) -> None:
    numbers = np.random.default_rng(7).standard_normal((3, 384)).astype(np.float32)
    vectors = {f"{index:064x}": row for index, row in enumerate(numbers)}
    store.put_vectors("minilm", vectors)
    store.put_vectors("minilm", {})
    found = store.vectors("minilm", [*vectors, "f" * 64])
    assert found.keys() == vectors.keys()
    for key, vector in vectors.items():
        assert found[key].dtype == np.float32
        assert found[key].shape == (384,)
        assert np.array_equal(found[key], vector)
    assert store.vectors("other", vectors) == {}


def test_a_vector_that_exists_is_left_as_it_is_and_nobody_else_can_change_it(store: Store) -> None:
    one, key = np.ones(4, np.float32), "a" * 64
    store.put_vectors("m", {key: one})
    one[:] = 7
    store.put_vectors("m", {key: one})
    found = store.vectors("m", [key])[key]
    assert np.array_equal(found, np.ones(4))
    found[:] = 9
    assert np.array_equal(store.vectors("m", [key])[key], np.ones(4))


def test_writers_of_the_same_vectors_do_not_hinder_each_other(store: Store) -> None:
    vectors = {f"{index:064x}": np.full(8, index, np.float32) for index in range(50)}
    in_threads(6, lambda number: store.put_vectors("m", dict(sorted(vectors.items(), reverse=bool(number % 2)))))
    assert store.vectors("m", vectors).keys() == vectors.keys()
