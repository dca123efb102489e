"""The sections that compare: the gate with what it chooses between, a hint with none, one engine with another."""

from __future__ import annotations

import pytest

from backend.benching.figures import gate_figures, promotion_figures, slow_tier_figures, two_engines_figures
from backend.benching.gate import GatePlan, GateSample, gate_missing, measure_gate
from backend.benching.promotion import Return, measure_promotion
from backend.benching.slow_tier import SlowTierRun, profile_lengths_of
from backend.benching.target import SlowTier
from backend.benching.two_engines import Crossing
from backend.errors import MeasurementFailed

from .scripted_pair import BASE, BYTES, COMPUTED, SECONDS_A_TOKEN, scripted_target


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr("backend.profiling.measure.time.sleep", lambda _: None)


def test_a_gate_that_refuses_costs_what_recomputing_costs():
    target = scripted_target("disk", refuses=("disk",))
    samples = measure_gate(target, GatePlan((400,), 3, load_repeats=2), lambda _: None)
    ram = [one for one in samples if one.tier == "ram"]
    disk = [one for one in samples if one.tier == "disk"]
    computed, loaded = BASE + 416 * COMPUTED, BASE + 16 * COMPUTED + 400 * SECONDS_A_TOKEN["disk"]
    assert [(one.gate, one.gate_tokens) for one in disk] == [(pytest.approx(computed), 0)] * 3
    assert [one.load for one in disk] == [pytest.approx(loaded), pytest.approx(loaded), None]
    assert {one.gate_tokens for one in ram} == {400}


def test_one_prompt_in_a_slow_tier_serves_for_several_pairs():
    target = scripted_target("disk", refuses=("disk",))
    samples = measure_gate(target, GatePlan((400,), 1, pairs=3, load_repeats=1, with_ram=False), lambda _: None)
    assert [one.load is None for one in samples] == [False, True, True]
    assert [one.gate / one.recompute for one in samples] == [pytest.approx(1.0)] * 3
    stored = target.pair.await_stored("disk", 0, 0)
    assert sum(one["size_bytes"] for one in stored) == (200 + 400 + 400) * BYTES  # KV size, warming up, measuring


def test_the_gate_is_judged_by_the_better_of_both():
    samples = [GateSample("disk", 400, recompute=1.0, gate=1.2, load=4.0, gate_tokens=0)] * 3
    samples += [GateSample("disk", 800, recompute=4.0, gate=2.1, load=2.0, gate_tokens=800)] * 3
    short, long = gate_figures(samples)
    assert (short.value, short.ok) == (pytest.approx(1.2), False)
    assert (short.baseline["load always"], short.baseline["recompute always"]) == (4.0, 1.0)
    assert (long.value, long.ok, long.baseline["tokens loaded"]) == (pytest.approx(1.05), True, 800)
    assert slow_tier_figures(SlowTierRun(8e6, samples))[0].value == 8.0


def test_a_gate_without_policies_or_profile_says_what_is_missing():
    target = scripted_target("disk")
    assert gate_missing(target) is None
    target.profiled = False
    assert "kvasir backend profile" in gate_missing(target).reason
    target.missing["policies"] = "runs without"
    assert gate_missing(target).reason == "runs without"


@pytest.mark.parametrize(
    ("lengths", "chosen"), [((512, 1024, 4096), (512, 2048, 4096)), ((512,), (256, 512)), ((1024,), (256, 512, 1024))]
)
def test_a_slow_tier_is_profiled_up_to_the_longest_prompt(lengths, chosen):
    assert profile_lengths_of(lengths, 256) == chosen


def test_a_hint_turns_a_disk_hit_into_one_from_ram(tmp_path):
    target = scripted_target("disk")
    target.tiers = (SlowTier("disk", "disk", tmp_path),)
    found = measure_promotion(target, (400,), 2, lambda _: None)
    beyond = BASE + 16 * COMPUTED
    assert [one.hinted for one in found] == [pytest.approx(beyond + 400 * SECONDS_A_TOKEN["ram"])] * 2
    assert [one.unhinted for one in found] == [pytest.approx(beyond + 400 * SECONDS_A_TOKEN["disk"])] * 2


def test_promotion_needs_a_disk():
    with pytest.raises(MeasurementFailed, match="disk tier of files"):
        measure_promotion(scripted_target("disk"), (400,), 1, lambda _: None)


def test_a_promotion_is_judged_by_its_ratio():
    ratio, promoted = promotion_figures([Return(400, hinted=0.2, unhinted=0.5, cold=2.0, promoted=0.3)] * 3)
    assert (ratio.value, ratio.ok, ratio.baseline["s cold"]) == (0.4, True, 2.0)
    assert promoted.value == 0.3


def test_a_crossing_shows_its_first_token():
    seconds, ratio = two_engines_figures([Crossing(400, hit=0.2, cold=1.0)] * 2)
    assert (seconds.value, seconds.baseline, ratio.value) == (0.2, {"cold": 1.0}, 5.0)
    assert ratio.interval is None  # of two pairs
