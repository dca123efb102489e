from __future__ import annotations

import pytest

from kb.ancestry import ancestors, is_ancestor, merge_bases
from kb.objects import Commit

# o ─ a ─ b ─ m ─ n        x and y each merged the other's parent: a criss-cross
#      ╲     ╱
#       c ─ d ─ e          p ─ q ─ x
#                            ╲ ╳
#                              r ─ y
GRAPH = {"o": "", "a": "o", "b": "a", "c": "a", "d": "c", "m": "bd", "n": "m", "e": "d"}
GRAPH |= {"p": "", "q": "p", "r": "p", "x": "qr", "y": "rq"}


def read(commit_id: str) -> Commit:
    return Commit(commit_id, "acme/sales", "tree", tuple(GRAPH[commit_id]), "ann", "", "", {})


def test_ancestors_come_once_each_nearest_first() -> None:
    assert [commit.id for commit in ancestors("n", read)] == ["n", "m", "b", "d", "a", "c", "o"]


@pytest.mark.parametrize(
    ("older", "newer", "expected"),
    [("o", "n", True), ("d", "n", True), ("n", "n", True), ("e", "n", False), ("n", "o", False), ("b", "e", False)],
)
def test_an_ancestor_may_stand_behind_any_parent(older: str, newer: str, expected: bool) -> None:
    assert is_ancestor(older, newer, read) == expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("b", "d", ("a",)),
        ("n", "e", ("d",)),  # not a, although a stands nearer to n on the first parents
        ("o", "n", ("o",)),
        ("n", "o", ("o",)),
        ("n", "n", ("n",)),
        ("x", "y", ("q", "r")),
        ("n", "x", ()),
    ],
)
def test_the_merge_bases_are_the_nearest_common_ancestors(one: str, other: str, expected: tuple[str, ...]) -> None:
    assert merge_bases(one, other, read) == expected
