from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.tiers.cost import PrefillCost, TransferCost
from backend.tiers.live_speed import LiveSpeed, LiveTier
from backend.tiers.load_gate import choose_chunks, choose_from_ram, load_cost, quickest
from backend.tiers.profile import Profile, TierProfile


def test_a_short_prefix_on_disk_is_recomputed_and_a_long_one_fetched(profile):
    # 200 tokens break even: there, nothing is gained, and the engine computes.
    assert [choose_chunks(["disk"] * chunks, profile).chunks for chunks in (0, 1, 2, 3, 9)] == [0, 0, 0, 3, 9]


def test_a_load_has_its_latency_once_and_its_tokens_each(profile):
    assert load_cost(profile, {"disk": 400}, {}).seconds == pytest.approx(0.3)


def test_a_tail_on_disk_that_does_not_pay_is_left_to_the_engine(profile):
    assert choose_chunks(["ram"] * 5 + ["disk"], profile).chunks == 5
    assert choose_chunks(["ram"] * 5 + ["disk"] * 4, profile).chunks == 9


def test_ram_behind_a_gap_on_disk_can_pay_for_the_gap(profile):
    assert choose_chunks(["ram", "disk"], profile).chunks == 1
    assert choose_chunks(["ram", "disk", "ram", "ram"], profile).chunks == 4


def test_ram_too_has_a_length_below_which_it_does_not_pay(profile):
    slow_start = replace(profile, prefill=PrefillCost(0.0, 0.00015, 0.0))
    assert [choose_chunks(["ram"] * chunks, slow_start).chunks for chunks in (1, 2, 3)] == [0, 0, 3]


def test_without_a_profile_everything_is_fetched_as_lmcache_does():
    assert choose_chunks(["disk"] * 7, None).chunks == 7


def test_a_tier_that_the_profile_does_not_know_costs_nothing(profile):
    assert choose_chunks(["elsewhere"], profile).chunks == 1


def test_a_tier_that_became_slow_is_not_loaded_from(profile):
    live = {"disk": LiveTier(slowdown=10.0)}
    assert choose_chunks(["disk"] * 9, profile).chunks == 9
    assert choose_chunks(["disk"] * 9, profile, live).chunks == 0


def test_a_queue_before_a_tier_counts_as_time(profile):
    # 9 chunks save 0.9 s and cost 0.55 s, so a wait of up to 0.35 s (1,400 tokens) is borne.
    for queued, chunks in ((1300, 9), (1500, 0)):
        assert choose_chunks(["disk"] * 9, profile, {"disk": LiveTier(queued_tokens=queued)}).chunks == chunks


def test_a_slowdown_multiplies_the_fetch_alone(profile):
    calm = load_cost(profile, {"disk": 400}, {})
    slow = load_cost(profile, {"disk": 400}, {"disk": LiveTier(slowdown=3.0)})
    assert slow.fetch_seconds - calm.fetch_seconds == pytest.approx(2 * (0.05 + 400 * 0.00025))
    assert slow.engine_seconds == calm.engine_seconds == pytest.approx(0.05 + 400 * 0.00025)


def test_a_queue_before_the_engine_lets_a_prefix_be_fetched_that_an_idle_engine_computes(profile):
    # 1 chunk: computed in 0.1 s, fetched in 0.075 s, and 0.075 s more from memory to the engine.
    # Others save 0.025 s each, so from the third on that is more than the 0.05 s that this request loses.
    assert [choose_chunks(["disk"], profile, others=others).chunks for others in (0, 1, 3)] == [0, 0, 1]
    assert choose_chunks(["disk"], profile, others=3).for_others == 1


def test_what_pays_in_an_idle_engine_is_fetched_for_nobody_else(profile):
    assert choose_chunks(["disk"] * 9, profile, others=5).for_others == 0


def test_a_queue_before_the_engine_does_not_make_ram_dearer_or_cheaper(profile):
    slow_start = replace(profile, prefill=PrefillCost(0.0, 0.00015, 0.0))
    for others in (0, 50):
        assert [choose_chunks(["ram"] * chunks, slow_start, others=others).chunks for chunks in (1, 2, 3)] == [0, 0, 3]


seconds = st.floats(0, 1)
slopes = st.floats(0, 0.01)


@st.composite
def tiers(draw: st.DrawFn) -> TierProfile:
    """The fetch is a part of the load."""
    fetch, rest = (TransferCost(draw(seconds), draw(slopes)) for _ in range(2))
    load = TransferCost(
        fetch.constant_seconds + rest.constant_seconds, fetch.per_token_seconds + rest.per_token_seconds
    )
    return TierProfile(load, fetch, TransferCost(0.0, 0.0))


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    prefill = PrefillCost(0.0, draw(slopes), draw(st.floats(0, 1e-5)))
    return Profile("m", 100, 1000, prefill, {name: draw(tiers()) for name in ("ram", "disk")})


holders = st.lists(st.sampled_from(["ram", "disk"]), max_size=12)
lives = st.builds(LiveTier, st.floats(0.01, 100), st.floats(0, 10_000))


@given(profiles(), holders, lives, st.integers(0, 20), st.integers(0, 20))
def test_the_more_requests_the_engine_has_the_more_is_fetched(profile, holders, live, others, more):
    few = choose_chunks(holders, profile, {"disk": live}, others)
    many = choose_chunks(holders, profile, {"disk": live}, others + more)
    assert few.chunks <= many.chunks
    assert few.for_others == few.chunks - choose_chunks(holders, profile, {"disk": live}).chunks


@given(profiles(), holders, lives, st.integers(0, 20))
def test_no_other_length_makes_all_of_them_wait_less(profile, holders, live, others):
    def waited(chunks: int) -> float:
        tokens = {name: 100 * holders[:chunks].count(name) for name in ("ram", "disk")}
        cost = load_cost(profile, tokens, {"disk": live})
        return cost.fetch_seconds + (1 + others) * (cost.engine_seconds - profile.prefill.saved_seconds(100 * chunks))

    chosen = choose_chunks(holders, profile, {"disk": live}, others)
    best = min(waited(chunks) for chunks in range(len(holders) + 1))
    assert waited(chosen.chunks) == pytest.approx(best, abs=1e-9)


def test_the_quicker_of_two_tiers_is_taken(profile):
    assert quickest(["disk", "ram"], profile, {}) == "ram"
    assert quickest(["disk", "ram"], None, {}) == "disk"


def test_ram_is_taken_where_it_pays_alone_or_with_what_may_follow_from_a_slower_tier(profile):
    dear = replace(profile, tiers={**profile.tiers, "ram": replace(profile.tiers["ram"], load=TransferCost(0.5, 0.0))})
    assert choose_from_ram(4, 0, ["disk"], profile) == 4
    assert choose_from_ram(4, 0, ["disk"], dear) == 0
    # Computing all 20 takes 2 s; RAM's latency and the disk's 16 take 1.3 s.
    assert choose_from_ram(4, 16, ["disk"], dear) == 4
    assert choose_from_ram(4, 16, ["disk"], dear, {"disk": LiveTier(slowdown=10.0)}) == 0
    assert choose_from_ram(4, 16, [], dear) == 0
    assert choose_from_ram(4, 16, ["disk"], None) == 4


def test_what_was_seen_corrects_the_profile_and_fades():
    speed = LiveSpeed(forget_seconds=60)
    assert speed.slowdown(0) == 1.0
    speed.observe(1.0, 16.0, now=0)
    assert speed.slowdown(0) == pytest.approx(16)
    assert speed.slowdown(60) == pytest.approx(4)
    assert speed.slowdown(600) == pytest.approx(1, abs=0.01)


def test_a_single_outlier_does_not_stand_for_long():
    speed = LiveSpeed()
    for now in range(5):
        speed.observe(1.0, 1.0, now)
    speed.observe(1.0, 100.0, 5)
    speed.observe(1.0, 1.0, 5)
    speed.observe(1.0, 1.0, 5)
    assert speed.slowdown(5) < 4


def test_observations_without_a_duration_are_none():
    speed = LiveSpeed()
    speed.observe(0.0, 1.0, 0)
    speed.observe(1.0, 0.0, 0)
    assert speed.slowdown(0) == 1.0
