"""Join paths over a graph drawn by hand: a – b – c – d – e – f, x on its own, a joined with itself."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import permutations

import numpy as np

from kb.items import Item, Relationship, Schema
from kb.join_paths import JoinGraph, JoinPath


def schema(name: str, database: str = "") -> Item:
    return Item(id=f"schema:{database}{name}", title=name, body=Schema(name, (), database=database))


def join(left: str, right: str, name: str = "", database: str = "") -> Item:
    body = Relationship(left, ("id",), right, ("id",), database=database)
    return Item(id=f"relationship:{name or f'{left}-{right}'}", title="join", body=body)


def paths(items: Sequence[Item], *schema_ids: str, gone: Collection[str] = ()) -> list[JoinPath]:
    """At a commit of all `items` but those that are gone."""
    graph = JoinGraph(items)
    for slot in range(len(items)):
        graph.add(slot)
    members = np.array([item.id not in gone for item in items], dtype=np.bool_)
    by_id = {item.id: item for item in items}
    return graph.paths([by_id[schema] for schema in schema_ids], members)


CHAIN = [*map(schema, "abcdefx"), *(join(left, right) for left, right in zip("abcde", "bcdef", strict=True))]


def test_a_path_names_the_tables_between_and_their_joins() -> None:
    assert paths(CHAIN, "schema:a", "schema:c") == [
        JoinPath("schema:a", "schema:c", ("relationship:a-b", "relationship:b-c"), ("schema:b",))
    ]


def test_every_pair_has_its_path() -> None:
    found = paths(CHAIN, "schema:a", "schema:b", "schema:c")
    assert [(path.start[-1], path.end[-1], len(path.relationships)) for path in found] == [
        ("a", "b", 1),
        ("a", "c", 2),
        ("b", "c", 1),
    ]


def test_four_joins_are_a_path_and_five_are_not() -> None:
    assert len(paths(CHAIN, "schema:a", "schema:e")[0].relationships) == 4
    assert paths(CHAIN, "schema:a", "schema:f") == []


def test_tables_that_nothing_joins_have_no_path() -> None:
    assert paths(CHAIN, "schema:a", "schema:x") == []
    assert paths([schema("a")], "schema:a") == []


def test_two_joins_of_one_pair_are_both_named() -> None:
    items = [*CHAIN, join("a", "b", "a-b-again")]
    assert paths(items, "schema:a", "schema:b")[0].relationships == ("relationship:a-b", "relationship:a-b-again")


def test_a_table_joined_with_itself_has_that_path_when_it_is_alone() -> None:
    items = [*CHAIN, join("a", "a", "manager")]
    assert paths(items, "schema:a") == [JoinPath("schema:a", "schema:a", ("relationship:manager",), ())]


def test_a_join_whose_table_is_not_an_item_is_left_out() -> None:
    assert paths([schema("a"), join("a", "gone")], "schema:a") == []


def test_tables_of_the_same_name_in_two_databases_stay_apart() -> None:
    items = [schema("a", "one."), schema("b", "two."), join("a", "b", database="one.")]
    assert paths(items, "schema:one.a", "schema:two.b") == []


def test_a_join_or_table_that_the_commit_has_not_makes_no_path() -> None:
    assert paths(CHAIN, "schema:a", "schema:c", gone=["relationship:a-b"]) == []
    assert paths(CHAIN, "schema:a", "schema:c", gone=["schema:b"]) == []


def test_of_two_ways_the_one_by_the_lesser_table_is_taken_in_whatever_order_they_came_and_from_both_ends() -> None:
    ways = [join("a", "p"), join("p", "z"), join("a", "o"), join("o", "z")]
    for order in permutations(ways):
        items = [*map(schema, "zpoa"), *order]
        assert [path.between for path in paths(items, "schema:a", "schema:z")] == [("schema:o",)]
        assert [path.between for path in paths(items, "schema:z", "schema:a")] == [("schema:o",)]


def test_a_path_is_read_from_its_start() -> None:
    (path,) = paths(CHAIN, "schema:d", "schema:b")
    assert (path.start, path.end) == ("schema:d", "schema:b")
    assert path.relationships == ("relationship:c-d", "relationship:b-c")


def test_neighbours_are_the_tables_that_one_is_joined_with_at_the_commit() -> None:
    items = [*CHAIN, join("b", "b", "itself"), join("b", "gone")]
    graph = JoinGraph(items)
    for slot in range(len(items)):
        graph.add(slot)
    everything = np.ones(len(items), dtype=np.bool_)
    assert graph.neighbours(1, everything) == {0, 2}
    assert graph.neighbours(6, everything) == set()
    assert graph.neighbours(1, np.array([item.id != "relationship:b-c" for item in items])) == {0}
