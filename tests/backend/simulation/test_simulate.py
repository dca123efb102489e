from __future__ import annotations

import pytest

from backend.simulation.cases import Case, run_cases
from backend.simulation.errors import SimulationOptionInvalid
from backend.simulation.simulate import Machine, simulate
from backend.simulation.store_gate import StoreGate
from backend.simulation.tiers import Stretch, TierSpec, cached_prefix, parse_tier

MACHINE = Machine(prefill_tokens_per_second=100.0, block_bytes=1000)  # a block of 10 tokens takes 0.1 s


def ram(blocks):
    return TierSpec("ram", blocks, 1e6)  # 1 ms a block


def disk(blocks, bytes_per_second=20_000.0):
    return TierSpec("disk", blocks, bytes_per_second)  # 50 ms a block


def test_a_tier_is_named_with_its_size_and_speed():
    assert parse_tier("ram:3000", 1000) == TierSpec("ram", 3000, 20e9)
    assert parse_tier("disk:0.5GB:2.5", 1000) == TierSpec("disk", 500_000, 2.5e9)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ram", "is no tier"),
        ("ram:3.5", "should be a whole number"),
        ("ram:0", "should be a whole number"),
        ("ram:1.2.3", "is no number"),
        ("disk:0.001GB", "smaller than a block"),
        ("tape:5", "says no speed"),
        ("ram:5:0", "above 0"),
    ],
)
def test_a_tier_that_cannot_be_is_told(text, problem):
    with pytest.raises(SimulationOptionInvalid, match=problem):
        parse_tier(text, 10**7)


def test_a_prefix_goes_on_from_tier_to_tier():
    in_ram, on_disk = {0, 1, 4}, {1, 2, 3}

    def until(blocks):
        return lambda start: next(end for end in range(start, 9) if end not in blocks)

    assert cached_prefix([until(in_ram), until(on_disk)]) == [Stretch(0, 0, 2), Stretch(1, 2, 4), Stretch(0, 4, 5)]


def test_what_was_hit_saved_and_written_adds_up(trace_of):
    # RAM has 4 blocks: of the first abcd, a is left after xyz; b, c and d come from the disk.
    trace = trace_of("abcd", "xyz", "abcd", "abcd", short=(2, 3))
    result = simulate(trace, (ram(4), disk(100)), "lru", MACHINE)
    first_again = simulate(trace_of("abcd", "xyz", "abcd"), (ram(4), disk(100)), "lru", MACHINE)
    assert (result.queried_blocks, result.queried_tokens) == (15, 40 + 30 + 37 + 37)
    assert [tier.hit_blocks for tier in first_again.tiers] == [1, 3]
    assert first_again.ttft_saved_seconds == pytest.approx(0.099 + 3 * 0.05)
    assert [tier.written_blocks for tier in first_again.tiers] == [4 + 3 + 3, 7]
    assert first_again.tiers[1].written_bytes == 7000
    assert first_again.prefill_seconds == pytest.approx(1.1)
    assert first_again.block_hit_rate == pytest.approx(4 / 11)


def test_the_short_last_block_counts_its_own_tokens(trace_of):
    trace = trace_of("ab", "ab", short=(0, 1))
    result = simulate(trace, (ram(9),), "lru", MACHINE)
    assert (result.hit_blocks, result.hit_tokens) == (2, 17)


def test_what_loads_slower_than_it_is_computed_is_not_loaded(trace_of):
    trace = trace_of("abcd", "xyz", "abcd")
    slow = simulate(trace, (ram(4), disk(100, bytes_per_second=5000.0)), "lru", MACHINE)
    assert slow.ttft_saved_seconds == pytest.approx(0.099)
    assert slow.hit_blocks == 4


def test_the_optimum_of_two_tiers_is_that_of_their_sizes_together(trace_of):
    trace = trace_of("abc", "xyz", "abc", "xyz", "abc")
    both = simulate(trace, (ram(2), disk(4)), "optimum", MACHINE)
    one = simulate(trace, (ram(6),), "optimum", MACHINE)
    fast = simulate(trace, (ram(2),), "optimum", MACHINE)
    assert both.hit_blocks == one.hit_blocks == 9
    assert both.tiers[0].hit_blocks == fast.hit_blocks
    assert both.tiers[1].written_bytes is None


def test_the_gate_of_recurrence_writes_nothing_on_first_sight(trace_of):
    trace = trace_of("abc", "xyz", "abd", "abc", "abc")
    written, hits = [], []
    for gate in ("all", "recurrence"):
        result = simulate(trace, (ram(1), disk(100)), "lru", MACHINE, StoreGate(gate))
        written.append(result.tiers[1].written_blocks)
        hits.append(result.hit_blocks)
    assert written == [7, 3]  # a, b at the third prompt, c at the fourth
    assert hits == [8, 5]


def test_the_gap_closed_is_between_lru_and_the_optimum(trace_of):
    trace = trace_of(*"abcabcabc")
    cases = [Case(policy, (ram(2),), MACHINE, StoreGate()) for policy in ("lru", "optimum", "fifo")]
    results = run_cases(trace, cases, jobs=1)
    assert [result.gap_closed for result in results] == [0.0, 1.0, 0.0]
    assert run_cases(trace, cases[:1], jobs=1)[0].gap_closed is None


def test_several_at_a_time_give_what_one_at_a_time_gives(trace_of):
    trace = trace_of("abc", "abd", "xyz", "abc")
    cases = [Case(policy, (ram(size),), MACHINE, StoreGate()) for policy in ("lru", "kvasir", "arc") for size in (2, 4)]
    alone, together = run_cases(trace, cases, jobs=1), run_cases(trace, cases, jobs=2)
    assert [one.result.hit_blocks for one in alone] == [one.result.hit_blocks for one in together]
    assert [one.case for one in together] == cases


@pytest.mark.parametrize(
    ("policy", "gate", "problem"),
    [
        ("belady", "all", "is no policy"),
        ("lru:gaps", "all", "is no policy"),
        ("kvasir:luck", "all", "is no idea"),
        ("lru", "worth", "needs the policy kvasir"),
    ],
)
def test_a_policy_that_cannot_be_is_told(trace_of, policy, gate, problem):
    with pytest.raises(SimulationOptionInvalid, match=problem):
        simulate(trace_of("a"), (ram(1),), policy, MACHINE, StoreGate(gate))
