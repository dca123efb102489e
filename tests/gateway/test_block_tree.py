"""The radix tree of block sequences: its paths and what it forgets, against a model that is told in words."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.block_tree import BlockTree

PATHS = st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=4), max_size=20)


def path(letters: str | list[str]) -> tuple[bytes, ...]:
    return tuple(letter.encode() for letter in letters)


def group(**characters: int) -> dict[bytes, int]:
    return {letter.encode(): length for letter, length in characters.items()}


def tree_of(*paths: str | list[str], limit: int = 100) -> BlockTree:
    tree = BlockTree(limit)
    for one in paths:
        tree.add(path(one))
    return tree


def test_the_longest_path_is_that_of_the_most_characters() -> None:
    tree = tree_of("hab", "hc")
    assert tree.longest(path("h"), [group(a=1, b=1, c=1)]) == path("ab")
    assert tree.longest(path("h"), [group(a=1, b=1, c=3)]) == path("c")
    assert tree.longest(path("x"), [group(a=1)]) == ()
    assert BlockTree(9).longest(path("h"), [group(a=1)]) == ()


def test_of_equal_paths_the_one_that_stays_nearest_to_the_given_order_wins() -> None:
    tree = tree_of("hba", "hab", "hcd")
    assert tree.longest(path("h"), [group(a=1, b=1, c=1, d=1)]) == path("ab")
    assert tree.longest(path("h"), [group(b=1, a=1, c=1, d=1)]) == path("ba")
    assert tree.longest(path("h"), [group(d=1, c=1)]) == path("cd")


def test_the_next_group_begins_where_the_one_before_it_is_used_up() -> None:
    tree = tree_of("habxy", "hax")
    assert tree.longest(path("h"), [group(b=1, a=1), group(y=1, x=1)]) == path("abxy")
    assert tree.longest(path("h"), [group(a=1), group(y=1, x=1)]) == path("ax")
    assert tree.longest(path("h"), [{}, group(b=1, a=1, c=1), group(x=9)]) == path("ab"), "x stands in front of no c"


def test_a_path_that_is_longer_than_the_limit_keeps_its_beginning() -> None:
    assert tree_of("abcd", limit=2).paths() == {path("a"), path("ab")}
    assert tree_of("abcd", limit=0).paths() == frozenset()


@settings(deadline=None)
@given(PATHS, st.integers(0, 8))
def test_what_is_remembered_are_the_beginnings_that_were_used_last(paths: list[list[str]], limit: int) -> None:
    used: list[tuple[bytes, ...]] = []
    tree = BlockTree(limit)
    for one in paths:
        for length in range(len(one), 0, -1):
            beginning = path(one[:length])
            used = [*(other for other in used if other != beginning), beginning]
        tree.add(path(one))
        assert len(tree) == len(tree.paths()) <= limit
        assert tree.paths() == set(used[len(used) - min(limit, len(used)) :])


@settings(deadline=None)
@given(PATHS, st.permutations("abcd"), st.integers(1, 4))
def test_the_longest_path_is_one_of_the_tree_and_no_other_that_fits_is_longer(
    paths: list[list[str]], order: list[str], split: int
) -> None:
    tree = tree_of(*paths)
    groups = [{letter.encode(): 1 + ord(letter) % 3 for letter in part} for part in (order[:split], order[split:])]
    lengths = groups[0] | groups[1]
    first = set(groups[0])

    def fits(one: tuple[bytes, ...]) -> bool:
        return len(set(one)) == len(one) and (set(one) <= first or set(one[: len(first)]) == first)

    found = tree.longest((), groups)
    fitting = [one for one in tree.paths() if fits(one)]
    assert not found or found in fitting
    longest = max((sum(lengths[label] for label in one) for one in fitting), default=0)
    assert sum(lengths[label] for label in found) == longest


def test_a_search_looks_at_a_bounded_number_of_nodes_the_given_order_first(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tree_of("hab", "hbacd")
    monkeypatch.setattr("gateway.block_tree.LOOKED_AT", 3)
    assert tree.longest(path("h"), [group(a=1, b=1, c=1, d=1)]) == path("ab")
