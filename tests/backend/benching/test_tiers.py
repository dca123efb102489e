"""What a measured request must prove, and the ratios that come of exact times."""

from __future__ import annotations

import pytest

from backend.benching.asking import Asker
from backend.benching.figures import tier_figures
from backend.benching.tiers import RESTARTED, Sample, measure_tiers, skipped_tiers
from backend.errors import MeasurementFailed

from .scripted_pair import BASE, COMPUTED, SECONDS_A_TOKEN, ScriptedPair, scripted_target


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr("backend.profiling.measure.time.sleep", lambda _: None)


def seconds_of(samples, place, tokens=400):
    return {round(one.seconds, 6) for one in samples if (one.place, one.tokens) == (place, tokens)}


def test_every_place_is_measured_beside_a_cold_prompt_of_its_own():
    samples = measure_tiers(scripted_target("disk", "shared"), (200, 400), 2, lambda _: None)
    beyond = BASE + 16 * COMPUTED
    assert seconds_of(samples, "engine") == {round(beyond, 6)}
    for tier, rate in SECONDS_A_TOKEN.items():
        assert seconds_of(samples, tier) == {round(beyond + 400 * rate, 6)}
    assert [one.cold_seconds for one in samples if one.tokens == 400] == [pytest.approx(BASE + 416 * COMPUTED)] * 8
    assert len(samples) == 2 * 2 * 4


def test_the_gates_are_off_meanwhile_and_nothing_is_left_behind():
    target = scripted_target("disk", refuses=("disk",))
    samples = measure_tiers(target, (200,), 1, lambda _: None)
    assert seconds_of(samples, "disk", 200)
    pair = target.pair
    assert isinstance(pair, ScriptedPair)
    assert pair.switches == {"load": True, "store": True}
    assert not pair.kept["disk"]


def test_prompts_of_before_a_restart_are_asked_after_it_beside_cold_ones():
    target = scripted_target("disk")
    restarts: list[int] = []

    def restart():
        restarts.append(1)
        target.pair.empty_engine()

    target.restart = restart
    samples = measure_tiers(target, (200,), 2, lambda _: None)
    assert [one.place for one in samples].count(RESTARTED) == 2
    assert restarts == [1]


def test_a_hit_that_came_from_elsewhere_is_no_measurement():
    target = scripted_target("disk")
    asker = Asker(target)
    prompt = target.prompts.beyond(200)
    asker.ask_from("cold", prompt)
    with pytest.raises(MeasurementFailed, match="ram: of 200 tokens vLLM had 200 itself"):
        asker.ask_from("ram", prompt)
    asker.empty_engine()
    target.kv_bytes_per_token = 10
    with pytest.raises(MeasurementFailed, match="disk: LMCache fetched 0 of 2000 bytes"):
        asker.ask_from("disk", prompt)


def test_a_tier_that_did_not_take_all_is_named():
    target = scripted_target("disk")
    target.kv_bytes_per_token = 10
    asker = Asker(target)
    with pytest.raises(MeasurementFailed, match="disk: 0 of 2000 bytes were written"):
        asker.await_stored(target.tiers[0], 200, asker.store_mark())


def test_what_cannot_be_measured_is_left_out_with_its_reason():
    target = scripted_target("disk")
    target.missing |= {"disk": "no reset", "ram": "no reset"}
    samples = measure_tiers(target, (200,), 1, lambda _: None)
    assert {one.place for one in samples} == {"engine"}
    assert [(one.what, one.reason) for one in skipped_tiers(target)] == [
        ("tiers: shared", "not here"),
        ("tiers: disk", "no reset"),
        ("tiers: ram", "no reset"),
    ]


@pytest.mark.parametrize("lengths", [(150,), (0,), (2000,)])
def test_lengths_are_whole_chunks_that_fit_the_window(lengths):
    with pytest.raises(MeasurementFailed, match=f"{lengths[0]}: give multiples of the chunk, 100 tokens, up to 1900"):
        scripted_target().check_lengths(lengths)


def test_a_ratio_is_the_median_of_pairs():
    samples = [Sample("ram", 8192, 0.1, cold) for cold in (1.0, 2.0, 9.0)]
    first, ratio = tier_figures(samples, reference=True)
    assert (first.value, first.baseline) == (0.1, {"cold": 2.0})
    assert (ratio.value, ratio.ok, ratio.n) == (20.0, True, 3)
    assert ratio.interval == (10.0, 90.0)
    assert tier_figures(samples, reference=False)[1].asked is None
