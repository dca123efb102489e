from __future__ import annotations

import json
from dataclasses import replace

import pytest

from backend.tiers.control import TierControl
from backend.tiers.cost import TransferCost
from backend.tiers.notes import Note
from backend.tiers.profile import profile_json
from backend.tiers.settings import PolicySettings, TierSettings, read_settings
from backend.tiers.writes import HeldItem, StoreItem

CHUNK_BYTES = 100_000


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def policy_settings(tmp_path) -> PolicySettings:
    folder = tmp_path / "kv"
    folder.mkdir()
    return PolicySettings(
        model="/models/m",
        chunk_tokens=100,
        state_dir=tmp_path,
        profile=tmp_path / "profile.json",
        tiers=(TierSettings("disk", "disk", 0, folder, cap_bytes=10 * CHUNK_BYTES),),
    )


@pytest.fixture
def control(policy_settings, profile, clock) -> TierControl:
    policy_settings.profile.write_text(json.dumps(profile_json(profile)))
    return TierControl(policy_settings, clock)


def ids(name: str, chunks: int) -> list[bytes]:
    return [f"{name}{index}".encode() for index in range(chunks)]


def items(chunks: list[bytes]) -> list[StoreItem]:
    return [StoreItem(chunk, chunk.decode(), CHUNK_BYTES) for chunk in chunks]


def stored(control: TierControl, chunks: list[bytes]) -> list[int]:
    return sorted(control.plan_store(items(chunks)).targets.get("disk", []))


def test_settings_survive_the_command_line(policy_settings):
    assert read_settings(policy_settings.to_json()) == policy_settings


def test_a_prompt_is_written_when_it_comes_a_second_time(control):
    prompt = ids("p", 5)
    control.note_lookup(prompt)
    assert stored(control, prompt) == []
    assert control.recurring(prompt) == []
    control.note_lookup(prompt)
    # It lies in RAM, where LMCache would not ask about it again: the wrapper asks.
    assert control.recurring(prompt) == [0, 1, 2, 3, 4]
    assert control.recurring(prompt) == []
    assert stored(control, prompt) == [0, 1, 2, 3, 4]


def test_a_prompt_without_a_note_has_the_use_case_of_the_start_and_one_with_a_note_has_its_own(policy_settings, clock):
    control = TierControl(replace(policy_settings, use_case="batch"), clock)
    control.put_note(ids("chat", 2), Note(use_case="chat"))
    for name in ("plain", "chat"):
        control.note_lookup(ids(name, 2))
    assert stored(control, ids("plain", 2)) == [0, 1]
    assert stored(control, ids("chat", 2)) == []


def test_a_gate_that_is_off_stores_and_loads_everything(control):
    control.set_gates(load=False, store=False)
    control.note_lookup(ids("p", 2))
    assert stored(control, ids("p", 2)) == [0, 1]
    assert control.choose([["disk"]]) == ["disk"]
    control.set_gates(load=True, store=True)
    assert control.choose([["disk"]]) == []


def test_the_cap_holds_with_the_gates_off_too(control, policy_settings):
    control.set_gates(load=False, store=False)
    assert len(stored(control, ids("p", 30))) == 10
    assert control.status()["disk"]["disk"]["bytes"] == policy_settings.tiers[0].cap_bytes


def test_an_older_prompt_gives_way_to_a_newer_one(control):
    for name in ("a", "b"):
        for _ in range(2):
            control.note_lookup(ids(name, 8))
    assert len(stored(control, ids("a", 8))) == 8
    for chunk in ids("a", 8):
        control.file_written("disk", chunk.decode(), CHUNK_BYTES)
    control.files_used("disk", [chunk.decode() for chunk in ids("a", 8)])
    plan = control.plan_store(items(ids("b", 8)))
    assert len(plan.targets["disk"]) == 8
    # From the tail on: what is left of the older prompt is its beginning.
    assert plan.victims["disk"] == tuple(f"a{index}" for index in (7, 6, 5, 4, 3, 2))


def test_the_days_bytes_are_bounded(policy_settings, clock):
    control = TierControl(replace(policy_settings, write_bytes_per_day=3 * CHUNK_BYTES), clock)
    control.set_gates(load=False, store=False)
    assert stored(control, ids("p", 5)) == [0, 1, 2]
    assert stored(control, ids("q", 5)) == []
    for chunk in ids("p", 3):
        (policy_settings.tiers[0].folder / chunk.decode()).write_bytes(b"")
        control.file_written("disk", chunk.decode(), CHUNK_BYTES)
    control.tidy()
    clock.now += 3600
    again = TierControl(replace(policy_settings, write_bytes_per_day=3 * CHUNK_BYTES), clock)
    again.set_gates(load=False, store=False)
    assert stored(again, ids("q", 5)) == []
    clock.now += 26 * 3600
    assert stored(again, ids("q", 5)) == [0, 1, 2]


def test_a_write_that_came_after_it_was_given_up_counts_again(policy_settings, clock):
    control = TierControl(replace(policy_settings, write_bytes_per_day=3 * CHUNK_BYTES), clock)
    control.set_gates(load=False, store=False)
    assert stored(control, ids("p", 1)) == [0]
    for _ in range(2):
        control.tidy()
    assert control.status()["write_budget"]["used_bytes"] == 0
    control.file_written("disk", "p0", CHUNK_BYTES)
    assert control.status()["write_budget"]["used_bytes"] == CHUNK_BYTES
    assert control.status()["disk"]["disk"]["bytes"] == CHUNK_BYTES


def test_a_write_that_never_came_gives_its_bytes_back(policy_settings, clock):
    control = TierControl(replace(policy_settings, write_bytes_per_day=3 * CHUNK_BYTES), clock)
    control.set_gates(load=False, store=False)
    assert stored(control, ids("p", 3)) == [0, 1, 2]
    control.tidy()
    assert stored(control, ids("q", 3)) == []
    control.tidy()
    assert stored(control, ids("q", 3)) == [0, 1, 2]


def test_each_use_case_goes_its_way(control):
    for case in ("chat", "batch", "code"):
        control.put_note(ids(case, 5), Note(case, f"session-{case}"))
        control.note_lookup(ids(case, 5))
    assert stored(control, ids("batch", 5)) == [0, 1, 2, 3, 4]
    assert control.take_leaving(ids("batch", 5)) == [0, 1, 2, 3, 4]
    for case in ("chat", "code"):
        assert stored(control, ids(case, 5)) == []
        control.note_lookup(ids(case, 5))
    assert stored(control, ids("chat", 5)) == []
    assert stored(control, ids("code", 5)) == [0, 1, 2, 3, 4]
    assert control.take_leaving(ids("code", 5)) == []


def test_a_document_goes_to_the_shared_tier(policy_settings, clock):
    shared = TierSettings("shared", "shared", 1)
    control = TierControl(replace(policy_settings, tiers=(*policy_settings.tiers, shared)), clock)
    control.put_note(ids("d", 3), Note("document"))
    control.note_lookup(ids("d", 3))
    assert control.plan_store(items(ids("d", 3))).targets == {"shared": [0, 1, 2]}


def test_an_idle_session_is_written_and_then_leaves_ram(control):
    prompt = ids("k", 2) + ids("own", 6)
    control.put_note(prompt, Note("chat", "s", "c1", knowledge_chunks=2))
    control.note_lookup(prompt)
    assert stored(control, prompt) == []
    assert control.demote("s") == ids("own", 6)
    assert stored(control, ids("own", 6)) == [0, 1, 2, 3, 4, 5]
    assert control.take_leaving(prompt) == [2, 3, 4, 5, 6, 7]
    assert control.take_leaving(prompt) == []


def test_a_session_that_is_over_leaves_nothing_of_an_edited_turn(control):
    for prompt in (ids("first", 3), ids("edited", 4)):
        control.put_note(prompt, Note("chat", "s"))
    assert sorted(control.drop("s")) == sorted(ids("first", 3) + ids("edited", 4))


def test_a_demoted_chunk_leaves_ram_on_every_rank(policy_settings, profile, clock):
    policy_settings.profile.write_text(json.dumps(profile_json(profile)))
    control = TierControl(replace(policy_settings, world_size=2), clock)
    prompt = ids("p", 2)
    control.put_note(prompt, Note("chat", "s"))
    control.demote("s")
    assert [control.take_leaving(prompt) for _ in range(3)] == [[0, 1], [0, 1], []]


def test_a_session_that_returns_in_time_stays_in_ram(control):
    prompt = ids("own", 6)
    control.put_note(prompt, Note("chat", "s"))
    control.demote("s")
    control.put_note(prompt, Note("chat", "s"))
    assert control.take_leaving(prompt) == []


def test_an_expected_session_keeps_its_place_and_names_all_its_chunks(control):
    prompt = ids("k", 1) + ids("own", 6)
    control.put_note(prompt, Note("chat", "s", "c1", knowledge_chunks=1))
    control.demote("s")
    assert control.expect("s") == tuple(prompt)
    assert control.take_leaving(prompt) == []
    assert control.status()["sessions"]["active"] == 1
    assert control.expect("nobody") == ()


def test_silence_makes_sessions_idle_and_gone_once_the_tiers_are_full(control, clock):
    control.set_ram_bytes(10 * CHUNK_BYTES)
    control.put_note(ids("own", 10), Note("chat", "s"))
    clock.now += 1e6
    assert control.due_sessions() == []
    for _ in range(11):
        clock.now += 1
        control.ram_written(CHUNK_BYTES)
    assert control.due_sessions() == [("s", "idle")]
    control.demote("s")
    assert control.due_sessions() == []
    for number in range(11):
        control.file_written("disk", f"x{number}", CHUNK_BYTES)
    assert control.due_sessions() == [("s", "gone")]
    assert control.drop("s") == ids("own", 10)
    assert control.due_sessions() == []


def test_a_session_is_silent_after_four_of_the_usual_gaps_and_names_only_its_own_chunks(control, clock):
    knowledge, own = ids("k", 2), ids("o", 3)
    note = Note("chat", "ada", "c1", knowledge_chunks=2)
    control.put_note(knowledge + own, note)
    assert control.silent_sessions() == (None, [])
    clock.now += 10
    control.put_note(knowledge + own, note)
    for _ in range(4):  # that others ask for the same knowledge says nothing about her
        clock.now += 10
        control.note_lookup(knowledge)
    assert control.silent_sessions() == (40.0, [])
    clock.now += 1
    after, [(session, chunks)] = control.silent_sessions()
    assert (after, session.name, session.silent_seconds, chunks) == (40.0, "ada", 41.0, own)


def test_in_a_ram_that_is_short_the_least_worth_is_what_nobody_asked_for_then_what_the_disk_has(control, clock):
    for _ in range(2):
        clock.now += 10
        for name in ("disk", "again"):
            control.note_lookup(ids(name, 5))
    control.note_lookup(ids("once", 5))
    stored(control, ids("disk", 5))
    held = [HeldItem(f"{name}0".encode(), f"{name}0", 10.0) for name in ("unknown", "disk", "once", "again")]
    worth = control.worth_in_ram(held)
    assert worth[0] == 0 < worth[1] < min(worth[2:])
    longer = control.worth_in_ram([replace(item, silent_seconds=20.0) for item in held])
    assert longer == pytest.approx([one / 2 for one in worth])


def evicted(control: TierControl, ram: dict[bytes, float], now: float) -> None:
    """As LMCache does it: a fifth of the chunks where more than 128 are there."""
    if len(ram) > 128:
        held = [HeldItem(chunk, chunk.decode(), now - used) for chunk, used in ram.items()]
        worth = dict(zip(ram, control.worth_in_ram(held), strict=True))
        for chunk in sorted(ram, key=worth.__getitem__)[: len(ram) // 5]:
            del ram[chunk]


@pytest.mark.parametrize(("others_before", "stay"), [(8, True), (0, False)])
def test_what_came_again_outlives_more_than_ram_holds_once_some_that_did_not_is_given_up(
    control, clock, others_before, stay
):
    ram: dict[bytes, float] = {}

    def ask(name: str, chunks: int, after_seconds: float = 0.5) -> None:
        clock.now += after_seconds
        prompt = ids(f"{name}-", chunks)
        control.note_lookup(prompt)
        for chunk in reversed(prompt):
            ram.pop(chunk, None)
            ram[chunk] = clock.now
        evicted(control, ram, clock.now)

    for number in range(others_before):
        ask(f"before{number}", 8)
    for _ in range(3):
        for number in range(4):
            ask(f"again{number}", 8)
    clock.now += 6.0
    for number in range(22):
        ask(f"once{number}", 14, after_seconds=1.2)
    kept = [chunk in ram for number in range(4) for chunk in ids(f"again{number}-", 8)]
    assert all(kept) if stay else not all(kept)


def test_a_retired_commit_gives_back_what_only_it_used(control):
    control.put_note(ids("k", 2), Note(None, None, "c1", knowledge_chunks=2))
    control.put_note(ids("k", 1), Note(None, None, "c2", knowledge_chunks=1))
    assert control.release_commit("c1") == [b"k1"]


def test_a_slow_fetch_closes_the_gate_until_it_is_forgotten(control, clock):
    run = [["disk"]] * 8
    assert len(control.choose(run)) == 8
    control.transfer_begun("t", "fetch", "disk", 8 * CHUNK_BYTES, 0.0)
    control.transfer_ended("t", 60.0)
    assert control.choose(run) == []
    clock.now += 3600
    assert len(control.choose(run)) == 8


def test_what_is_taken_from_ram_is_counted_unless_somebody_looks_further(policy_settings, profile, clock):
    dear = replace(profile, tiers={**profile.tiers, "ram": replace(profile.tiers["ram"], load=TransferCost(0.5, 0.0))})
    policy_settings.profile.write_text(json.dumps(profile_json(dear)))
    control = TierControl(policy_settings, clock)
    assert control.choose_ram(4, 16) == 4
    assert control.status()["counts"] == {}
    assert control.choose_ram(4, 0) == 0
    assert control.choose_ram(8, 0) == 8
    control.set_gates(load=False, store=True)
    assert control.choose_ram(4, 0) == 4
    assert control.status()["counts"] == {"load_gate_loaded_chunks": 12, "load_gate_refused_chunks": 4}


def test_fetches_that_overlapped_teach_nothing_but_count_as_a_queue(control):
    run = [["disk"]] * 8
    for key in ("a", "b"):
        control.transfer_begun(key, "fetch", "disk", 60 * CHUNK_BYTES, 0.0)
    assert control.choose(run) == []
    for key in ("a", "b"):
        control.transfer_ended(key, 60.0)
    assert len(control.choose(run)) == 8
    assert [transfer.alone for transfer in control.transfers_after(0)] == [False, False]
    assert control.transfers_after(2) == ()


def test_a_busy_engine_opens_the_gate_until_it_is_forgotten(control, clock):
    assert control.choose([["disk"]]) == []
    control.engine_has(4)
    assert control.choose([["disk"]]) == ["disk"]
    assert control.status()["engine_requests"] == 4
    assert control.status()["counts"]["load_gate_loaded_for_others_chunks"] == 1
    clock.now += 60
    assert control.choose([["disk"]]) == []
    assert control.status()["engine_requests"] is None


def test_a_profile_of_another_model_is_not_used_and_said(policy_settings, profile, clock):
    policy_settings.profile.write_text(json.dumps(profile_json(replace(profile, model="/models/other"))))
    status = TierControl(policy_settings, clock).status()
    assert status["profile"] is None
    assert "/models/other" in status["profile_problem"]


def test_a_broken_profile_stops_nothing(policy_settings, clock):
    policy_settings.profile.write_text("{}")
    control = TierControl(policy_settings, clock)
    assert "profile" in str(control.profile_problem)
    assert control.choose([["disk"]]) == ["disk"]
