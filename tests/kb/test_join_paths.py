"""Join paths over a graph drawn by hand: a – b – c – d – e – f, x on its own, a joined with itself."""

from __future__ import annotations

from kb.items import Item, Relationship, Schema
from kb.join_paths import JoinGraph, JoinPath


def schema(name: str, database: str = "") -> Item:
    return Item(id=f"schema:{database}{name}", title=name, body=Schema(name, (), database=database))


def join(left: str, right: str, name: str = "", database: str = "") -> Item:
    body = Relationship(left, ("id",), right, ("id",), database=database)
    return Item(id=f"relationship:{name or f'{left}-{right}'}", title="join", body=body)


CHAIN = [*map(schema, "abcdefx"), *(join(left, right) for left, right in zip("abcde", "bcdef", strict=True))]


def test_a_path_names_the_tables_between_and_their_joins() -> None:
    assert JoinGraph(CHAIN).paths(["schema:a", "schema:c"]) == [
        JoinPath("schema:a", "schema:c", ("relationship:a-b", "relationship:b-c"), ("schema:b",))
    ]


def test_every_pair_has_its_path() -> None:
    paths = JoinGraph(CHAIN).paths(["schema:a", "schema:b", "schema:c"])
    assert [(path.start[-1], path.end[-1], len(path.relationships)) for path in paths] == [
        ("a", "b", 1),
        ("a", "c", 2),
        ("b", "c", 1),
    ]


def test_four_joins_are_a_path_and_five_are_not() -> None:
    graph = JoinGraph(CHAIN)
    assert len(graph.paths(["schema:a", "schema:e"])[0].relationships) == 4
    assert graph.paths(["schema:a", "schema:f"]) == []


def test_tables_that_nothing_joins_have_no_path() -> None:
    assert JoinGraph(CHAIN).paths(["schema:a", "schema:x"]) == []
    assert JoinGraph(CHAIN).paths(["schema:a", "schema:unknown"]) == []
    assert JoinGraph([]).paths(["schema:a"]) == []


def test_two_joins_of_one_pair_are_both_named() -> None:
    graph = JoinGraph([*CHAIN, join("a", "b", "a-b-again")])
    assert graph.paths(["schema:a", "schema:b"])[0].relationships == ("relationship:a-b", "relationship:a-b-again")


def test_a_table_joined_with_itself_has_that_path_when_it_is_alone() -> None:
    graph = JoinGraph([*CHAIN, join("a", "a", "manager")])
    assert graph.paths(["schema:a"]) == [JoinPath("schema:a", "schema:a", ("relationship:manager",), ())]


def test_a_join_whose_table_is_not_an_item_is_left_out() -> None:
    assert JoinGraph([schema("a"), join("a", "gone")]).paths(["schema:a"]) == []


def test_tables_of_the_same_name_in_two_databases_stay_apart() -> None:
    graph = JoinGraph([schema("a", "one."), schema("b", "two."), join("a", "b", database="one.")])
    assert graph.paths(["schema:one.a", "schema:two.b"]) == []
