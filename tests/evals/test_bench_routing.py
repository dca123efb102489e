"""The fleet of `kvasir bench prefix --only routing`, on prompts whose hits are known."""

from __future__ import annotations

from collections import Counter
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.bench.prefix import fleet
from evals.bench.prefix.block_cache import BlockCache, BoundedBlockCache
from evals.bench.prefix.fleet import ByPrefix, Outage, Prompt, RoundRobin, StickyHash, routed

PROMPTS = st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=24), max_size=12)


def tokens(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.uint32)


@given(PROMPTS)
def test_a_bounded_cache_that_is_large_enough_is_an_unlimited_one(prompts):
    bounded, unlimited = BoundedBlockCache(4, 1000), BlockCache(4)
    assert [bounded.take(tokens(*one)) for one in prompts] == [unlimited.take(tokens(*one)) for one in prompts]


def test_a_bounded_cache_loses_what_was_used_longest_ago_from_its_end():
    cache = BoundedBlockCache(2, 4)
    first, second = tokens(1, 1, 1, 2, 9), tokens(2, 2, 2, 3, 2, 4, 9)
    assert cache.take(first) == 0
    assert cache.take(second) == 0
    assert cache.take(first) == 2  # its second block had to go
    assert cache.take(second) == 4


def turn(session: int, number: int) -> Prompt:
    """Each turn adds a hundred tokens, and what is written between the turns is none."""
    said = [[f"{session}-{place:06d}" for place in range(100 * one, 100 * (one + 1))] for one in range(number + 1)]
    messages = [{"role": ("user", "assistant")[one % 2], "content": " ".join(words)} for one, words in enumerate(said)]
    return Prompt(messages, None, tokens(*(crc32(word.encode()) for words in said for word in words)))


def talk(sessions: int, turns: int) -> list[Prompt]:
    """Everybody's first turn, then everybody's second."""
    return [turn(session, number) for number in range(turns) for session in range(sessions)]


@pytest.fixture(autouse=True)
def one_at_a_time(monkeypatch):
    monkeypatch.setattr(fleet, "UNDER_WAY", 1)


def hits(found, sessions: int, number: int) -> Counter[int]:
    """Hit tokens of everybody's turn of this number: how many had how many."""
    return Counter(use.hit_tokens for use in found.uses[number * sessions : (number + 1) * sessions])


def run(rule, prompts, outage=None):
    return routed(prompts, rule, replicas=3, block_tokens=10, capacity_blocks=10_000, outage=outage)


def test_who_keeps_conversations_together_hits_all_of_their_earlier_turns():
    for rule in (ByPrefix, StickyHash):
        found = run(rule, talk(10, 3))
        assert [hits(found, 10, number) for number in range(3)] == [{0: 10}, {100: 10}, {200: 10}]
    assert hits(run(RoundRobin, talk(10, 3)), 10, 1) == {0: 10}  # ten conversations over three replicas


def test_after_an_outage_nobody_goes_back_who_was_elsewhere_meanwhile():
    outage = Outage("replica 1", 10, 20)
    by_prefix, sticky = (run(rule, talk(10, 3), outage) for rule in (ByPrefix, StickyHash))
    moved = hits(sticky, 10, 1)[0]
    assert 0 < moved < 10
    assert hits(by_prefix, 10, 1) == {100: 10 - moved, 0: moved}
    assert hits(by_prefix, 10, 2) == {200: 10}
    assert hits(sticky, 10, 2) == {200: 10 - moved, 0: moved}


def test_the_busiest_replica_is_told():
    assert run(RoundRobin, talk(9, 1)).busiest == pytest.approx(1 / 3)
