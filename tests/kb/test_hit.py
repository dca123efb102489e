"""How much of each kind is kept, by number and by tokens."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kb.hit import Hit, Limits, within
from kb.items import Gotcha, Item, Rule

Sizes = dict[str, int]


def gotcha(name: str, score: float) -> Hit:
    return Hit(Item(f"gotcha:{name}", name, Gotcha(name)), name, score, ())


def kept(hits: list[Hit], sizes: Sizes, most: int, number: int = 9) -> list[str]:
    limits = Limits({"gotcha": number}, tokens={"gotcha": most, "rule": most}, measure=lambda hit: sizes[hit.item_hash])
    return [hit.item_hash for hit in within(hits, limits)]


def test_what_does_not_fit_is_left_out_whole_and_the_next_best_that_fits_is_kept() -> None:
    hits = [gotcha("a", 0.9), gotcha("b", 0.8), gotcha("c", 0.7), gotcha("d", 0.6)]
    sizes = {"a": 50, "b": 60, "c": 30, "d": 20}
    assert kept(hits, sizes, 100) == ["a", "c", "d"]
    assert kept(hits, sizes, 109) == ["a", "c", "d"]
    assert kept(hits, sizes, 110) == ["a", "b"]
    assert kept(hits, sizes, 10) == []


def test_the_number_still_bounds_what_fits() -> None:
    assert kept([gotcha("a", 0.9), gotcha("b", 0.8)], {"a": 1, "b": 1}, 100, number=1) == ["a"]


def test_what_always_applies_is_kept_and_leaves_the_others_less_room() -> None:
    always = Hit(Item("gotcha:z", "z", Gotcha("z"), usage="always"), "z", 1.0, ())
    sizes = {"z": 90, "a": 20, "b": 10}
    assert kept([gotcha("a", 0.9), gotcha("b", 0.8), always], sizes, 100) == ["z", "b"]
    rule = Hit(Item("rule:r", "r", Rule("r")), "r", 1.0, ())
    assert kept([rule], {"r": 500}, 100) == ["r"]


def test_without_a_budget_nothing_is_measured() -> None:
    def measure(hit: Hit) -> int:
        raise AssertionError(hit)

    limits = Limits({"gotcha": 9}, tokens={"schema": 1}, measure=measure)
    assert len(within([gotcha("a", 0.9)], limits)) == 1


@given(st.lists(st.tuples(st.integers(1, 40), st.floats(0, 1)), max_size=8), st.integers(1, 120))
def test_what_is_kept_fits_and_cutting_again_changes_nothing(given_hits: list[tuple[int, float]], most: int) -> None:
    hits = [gotcha(str(number), score) for number, (_, score) in enumerate(given_hits)]
    sizes = {str(number): size for number, (size, _) in enumerate(given_hits)}
    names = kept(hits, sizes, most)
    assert sum(sizes[name] for name in names) <= most
    left = [hit.item_hash for hit in hits if hit.item_hash not in names]
    assert all(sum(sizes[name] for name in names) + sizes[other] > most for other in left)
    again = [hit for hit in hits if hit.item_hash in names]
    assert kept(again, sizes, most) == names
