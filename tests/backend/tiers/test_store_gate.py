from __future__ import annotations

from dataclasses import replace

import pytest

from backend.tiers.cost import TransferCost
from backend.tiers.sightings import Sighting, Sightings, chunk_id, split_chunk_id
from backend.tiers.store_gate import decide_store
from backend.tiers.use_case import USE_CASES, tier_plan
from backend.tiers.write_budget import WriteBudget

HOUR = 3600.0
UNKNOWN = tier_plan(None, has_shared=False)


def ids(name: str, chunks: int) -> list[bytes]:
    return [f"{name}{index}".encode() for index in range(chunks)]


def seen(times: int, chunks: int = 10) -> Sighting:
    return Sighting(times, 0, chunks, 0.0)


def decide(profile, times: int, chunks: int = 10, plan=UNKNOWN, price: float = 1.0, demoted: bool = False):
    return decide_store(seen(times, chunks), plan, "disk", Sightings(), profile, price, demoted=demoted)


def test_a_prompt_seen_once_is_not_written_and_one_that_recurs_is(profile):
    assert decide(profile, 1).reason == "first seen"
    assert decide(profile, 2).store
    assert decide(None, 1).reason == "first seen"
    assert decide(None, 2).store


def test_what_would_never_be_loaded_is_never_written(profile):
    assert decide(profile, 5, chunks=2).reason == "recompute is cheaper"
    assert decide(profile, 5, chunks=4).store


def test_a_dear_write_needs_more_expected_reuse(profile):
    # A reuse of 10 chunks saves 0.4 ms a token, and before anything is known one is expected.
    dear = replace(profile.tiers["disk"], store=TransferCost(0.0, 0.0005))
    dear_profile = replace(profile, tiers={**profile.tiers, "disk": dear})
    assert decide(dear_profile, 2).reason == "not worth a write"
    often = Sightings()
    for _ in range(3):
        often.note_lookup(ids("p", 8), 0.0)
    assert often.expected_reuses(2) == pytest.approx(9)
    assert decide_store(seen(2), UNKNOWN, "disk", often, dear_profile, 1.0).store


def test_the_price_of_a_byte_rises_as_the_budget_runs_out(profile):
    assert decide(profile, 2, price=1.5).store
    assert decide(profile, 2, price=2.5).reason == "budget"
    assert decide(profile, 2, price=float("inf")).reason == "budget"


def test_each_use_case_has_its_tiers(profile):
    plans = {case: tier_plan(case, has_shared=True) for case in USE_CASES}
    assert decide(profile, 9, plan=plans["chat"]).reason == "stays in RAM"
    assert decide(profile, 9, plan=plans["chat"], demoted=True).store
    assert decide(profile, 1, plan=plans["batch"]).store
    assert plans["batch"].leaves_ram
    assert not any(plans[case].leaves_ram for case in ("chat", "document", "code"))
    assert (plans["document"].role, plans["code"].role) == ("shared", "disk")
    assert decide(profile, 1, plan=plans["document"]).store
    assert decide(profile, 1, plan=plans["code"]).reason == "first seen"


def test_a_document_without_a_shared_tier_waits_on_the_disk_for_a_second_reader(profile):
    plan = tier_plan("document", has_shared=False)
    assert plan.role == "disk"
    assert decide(profile, 1, plan=plan).reason == "first seen"


def test_sightings_count_lookups_and_know_where_in_a_prompt_a_chunk_is():
    sightings = Sightings()
    sightings.note_lookup(ids("a", 3), 1.0)
    sightings.note_lookup(ids("a", 5), 2.0)
    assert sightings.get(b"a2") == Sighting(2, 2, 5, 2.0)
    assert sightings.get(b"a4") == Sighting(1, 4, 5, 2.0)
    assert sightings.get(b"b0") is None


def test_the_memory_is_bounded_and_forgets_the_oldest_prompt_from_its_tail():
    sightings = Sightings(capacity=4)
    sightings.note_lookup(ids("a", 3), 1.0)
    sightings.note_lookup(ids("b", 3), 2.0)
    assert len(sightings) == 4
    assert sightings.get(b"a0") is not None
    assert sightings.get(b"a1") is None


def test_expected_reuse_is_learned_from_what_came_again_and_what_did_not():
    sightings = Sightings()
    assert sightings.expected_reuses(1) == pytest.approx(1.0)
    sightings.note_lookup(ids("often", 4), 0.0)
    sightings.note_lookup(ids("once", 20), 0.0)
    for now in (10.0, 20.0):
        sightings.note_lookup(ids("often", 4), now)
    # Four came again and nothing is lost yet: the others have been silent for two gaps only.
    assert sightings.chance_of_another(1) == pytest.approx(5 / 6)
    sightings.note_lookup(ids("often", 4), 50.0)
    assert sightings.chance_of_another(1) == pytest.approx(5 / 26)
    assert sightings.chance_of_another(2) == pytest.approx(5 / 6)


def test_the_chance_of_a_return_never_falls_with_more_sightings():
    sightings = Sightings()
    for now in (0.0, 1.0):
        sightings.note_lookup([b"a", b"b", b"c"], now)
    sightings.note_lookup([b"z"], 20.0)  # by now they are given up
    chances = [sightings.chance_of_return(times) for times in range(1, 8)]
    assert sightings.chance_of_another(2) < sightings.chance_of_another(1)
    assert chances == sorted(chances)
    assert chances[0] == sightings.chance_of_another(1)


def test_a_chunk_given_up_that_comes_after_all_was_not_lost():
    sightings = Sightings()
    for now in (0.0, 1.0):
        sightings.note_lookup(ids("often", 1), now)
    sightings.note_lookup(ids("late", 1), 1.0)
    sightings.note_lookup(ids("other", 1), 100.0)
    assert sightings.chance_of_another(1) == pytest.approx(2 / 4)
    sightings.note_lookup(ids("late", 1), 101.0)
    assert sightings.chance_of_another(1) == pytest.approx(3 / 4)


def test_a_chunk_that_falls_out_of_the_memory_is_lost():
    sightings = Sightings(capacity=1)
    sightings.note_lookup(ids("a", 1), 0.0)
    sightings.note_lookup(ids("b", 1), 0.0)
    assert sightings.chance_of_another(1) == pytest.approx(1 / 3)


def test_two_tenants_equal_texts_are_two_chunks():
    assert chunk_id(b"h", "acme") != chunk_id(b"h", "globex")
    assert chunk_id(b"ha", "cme") != chunk_id(b"h", "acme")
    assert split_chunk_id(chunk_id(b"\x00hash", "acme")) == (b"\x00hash", "acme")


def test_the_budget_bounds_every_window_of_24_hours():
    budget = WriteBudget(100)
    budget.spend(60, 0.5 * HOUR)
    budget.spend(30, 10 * HOUR)
    assert budget.left_bytes(10 * HOUR) == 10
    assert budget.price(10 * HOUR) == pytest.approx(10)
    assert budget.left_bytes(24.9 * HOUR) == 10
    assert budget.left_bytes(25 * HOUR) == 70
    budget.spend(200, 25 * HOUR)
    assert budget.left_bytes(25 * HOUR) == 0
    assert budget.price(25 * HOUR) == float("inf")


def test_a_restart_does_not_give_a_second_budget(tmp_path):
    path = tmp_path / "writes.json"
    budget = WriteBudget(100, path)
    budget.spend(80, HOUR)
    budget.save(HOUR)
    assert WriteBudget(100, path).left_bytes(2 * HOUR) == 20
    path.write_text("broken")
    assert WriteBudget(100, path).left_bytes(2 * HOUR) == 100


def test_without_a_bound_every_byte_costs_the_same():
    budget = WriteBudget(None)
    budget.spend(10**15, 0.0)
    assert (budget.price(0.0), budget.left_bytes(0.0)) == (1.0, float("inf"))
