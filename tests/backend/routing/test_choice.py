"""The rule by itself: pure functions, under any load and any prefixes."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from backend.routing.choice import FACTOR, SLACK, Candidate, chosen

NAMES = [f"10.0.0.{number}:8100" for number in range(1, 6)]


@st.composite
def candidates(draw: st.DrawFn) -> list[Candidate]:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True))
    return [Candidate(name, draw(st.integers(0, 8)), draw(st.integers(0, 40))) for name in names]


def overloaded(one: Candidate, among: list[Candidate]) -> bool:
    return one.in_flight > SLACK + FACTOR * min(other.in_flight for other in among)


PROMPT = st.integers(8, 40)
"""Blocks of the prompt: no candidate knows more than 8."""
BEGINNING = st.binary(min_size=8, max_size=8)


@given(candidates(), PROMPT, BEGINNING)
def test_who_knows_at_least_half_of_the_prompt_and_is_not_overloaded_wins_by_length(among, blocks, beginning):
    winner = next(one for one in among if one.name == chosen(among, blocks, beginning))
    assert not overloaded(winner, among)
    free = [one for one in among if not overloaded(one, among)]
    longest = max(one.matched_blocks for one in free)
    if 2 * longest >= blocks:
        assert winner.matched_blocks == longest
    else:
        assert winner.in_flight == min(one.in_flight for one in free)


@given(candidates(), PROMPT, BEGINNING)
def test_of_equal_loads_the_longest_prefix_wins_however_short(among, blocks, beginning):
    idle = [Candidate(one.name, one.matched_blocks, 3) for one in among]
    winner = next(one for one in idle if one.name == chosen(idle, blocks, beginning))
    assert winner.matched_blocks == max(one.matched_blocks for one in idle)


@given(candidates(), PROMPT, BEGINNING, st.randoms())
def test_the_order_of_the_candidates_has_no_say(among, blocks, beginning, random):
    shuffled = list(among)
    random.shuffle(shuffled)
    assert chosen(shuffled, blocks, beginning) == chosen(among, blocks, beginning)


@given(BEGINNING, st.sampled_from(NAMES))
def test_who_leaves_moves_only_its_own_conversations(beginning, leaver):
    everybody = [Candidate(name, 0, 0) for name in NAMES]
    before = chosen(everybody, 8, beginning)
    without = chosen([one for one in everybody if one.name != leaver], 8, beginning)
    assert without == before or before == leaver


def test_conversations_that_nobody_knows_are_spread_evenly():
    everybody = [Candidate(name, 0, 0) for name in NAMES]
    spread = Counter(chosen(everybody, 8, number.to_bytes(8)) for number in range(5000))
    # Binomial with 5,000 draws of 1 / 5: four standard deviations are 113.
    assert all(abs(spread[name] - 1000) < 113 for name in NAMES)


def test_a_prefix_of_half_the_prompt_wins_until_its_replica_is_overloaded():
    idle = Candidate("b", 0, 2)
    assert chosen([Candidate("a", 3, 11), idle], 6, b"12345678") == "a"  # 8 + 1.5 * 2
    assert chosen([Candidate("a", 3, 12), idle], 6, b"12345678") == "b"


def test_a_prefix_of_less_than_half_draws_nobody_to_who_has_more_to_do():
    assert chosen([Candidate("a", 3, 3), Candidate("b", 0, 2)], 7, b"12345678") == "b"
    assert chosen([Candidate("a", 3, 2), Candidate("b", 0, 2)], 7, b"12345678") == "a"
