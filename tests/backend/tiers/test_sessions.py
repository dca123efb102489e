from __future__ import annotations

import math

import pytest

from backend.tiers.notes import Note, Notes
from backend.tiers.placement import FillClock, Thresholds, session_state, thresholds, worth_in_ram
from backend.tiers.sessions import Sessions


def test_thresholds_follow_from_the_costs(profile):
    # 1,000 tokens: RAM saves 0.89 s, the disk 0.4 s.
    limits = thresholds(profile, 1000, "disk", ram_fill=60.0, disk_fill=6000.0, reused=0.5)
    assert limits.idle_seconds == pytest.approx(60 * (0.89 - 0.4) / (0.5 * 0.89))
    assert limits.gone_seconds == pytest.approx(12000)


def test_a_busier_ram_demotes_sooner(profile):
    slow, fast = (
        thresholds(profile, 1000, "disk", ram_fill=fill, disk_fill=9e9, reused=0.5).idle_seconds for fill in (600, 6)
    )
    assert slow == pytest.approx(100 * fast)


def test_a_session_too_short_for_the_disk_is_never_idle(profile):
    limits = thresholds(profile, 150, "disk", ram_fill=60.0, disk_fill=6000.0, reused=0.5)
    assert limits.idle_seconds == limits.gone_seconds == 120
    assert thresholds(profile, 1000, None, ram_fill=60.0, disk_fill=6.0, reused=0.5).gone_seconds == 120


def test_ram_that_never_filled_costs_nothing_so_nothing_leaves_it(profile):
    limits = thresholds(profile, 1000, "disk", ram_fill=math.inf, disk_fill=math.inf, reused=0.5)
    assert session_state(1e9, limits) == "active"


def test_a_place_in_ram_is_worth_what_a_return_saves_by_its_chance(profile):
    # 1,000 tokens: RAM saves 0.89 s, of which a disk that has them, too, would save 0.4 s.
    given = {"chance": 0.5, "silent_seconds": 100.0, "usual_gap_seconds": 10.0}
    assert worth_in_ram(profile, 1000, None, **given) == pytest.approx(0.89e-3 * 0.5 / 100)
    assert worth_in_ram(profile, 1000, "disk", **given) == pytest.approx(0.49e-3 * 0.5 / 100)
    # 150 tokens do not come from the disk: there, they are as good as lost.
    assert worth_in_ram(profile, 150, "disk", **given) == worth_in_ram(profile, 150, None, **given) > 0
    assert worth_in_ram(None, 1000, "disk", **given) == pytest.approx(0.5 / 100)


def test_a_prompt_has_its_usual_gap_before_its_silence_counts(profile):
    given = {"chance": 0.5, "usual_gap_seconds": 60.0}
    worth = [worth_in_ram(profile, 1000, None, silent_seconds=silent, **given) for silent in (0, 60, 120)]
    assert worth[0] == worth[1] == pytest.approx(2 * worth[2])


def test_what_ram_does_not_save_is_worth_nothing(profile):
    assert worth_in_ram(profile, 5, None, chance=0.9, silent_seconds=1.0, usual_gap_seconds=0.0) == 0


def test_states_follow_silence():
    limits = Thresholds(10, 100)
    assert [session_state(silent, limits) for silent in (0, 9, 10, 99, 100)] == ["active"] * 2 + ["idle"] * 2 + ["gone"]


def test_the_fill_clock_measures_the_last_capacity():
    clock = FillClock(100)
    clock.add(60, 0.0)
    assert clock.fill_seconds(1.0) == math.inf
    clock.add(60, 10.0)
    assert clock.fill_seconds(12.0) == 12.0
    clock.add(60, 20.0)
    assert clock.fill_seconds(22.0) == 12.0


def test_a_session_that_asks_again_is_active_again():
    sessions = Sessions()
    sessions.ask("s", (b"a",), 0.0)
    limits = Thresholds(10, 100)
    assert [state for _, state in sessions.changed(20.0, lambda _: limits)] == ["idle"]
    sessions.set_state("s", "idle")
    assert sessions.changed(20.0, lambda _: limits) == []
    assert [state for _, state in sessions.changed(100.0, lambda _: limits)] == ["gone"]
    sessions.ask("s", (b"a", b"b"), 101.0)
    assert sessions.counts() == {"active": 1, "idle": 0, "gone": 0}
    assert sessions.get("s").chunks == (b"a", b"b")


def test_what_an_edited_turn_left_is_still_the_sessions():
    sessions = Sessions()
    for chunks in ((b"a", b"b", b"c"), (b"a", b"x"), (b"a", b"x", b"y", b"z")):
        sessions.ask("s", chunks, 1.0)
    session = sessions.get("s")
    assert session is not None
    assert session.chunks == (b"a", b"x", b"y", b"z")
    assert sorted(session.held) == [b"a", b"b", b"c", b"x", b"y", b"z"]


def test_the_oldest_session_gives_way():
    sessions = Sessions(capacity=1)
    sessions.ask("a", (), 0.0)
    sessions.ask("b", (), 1.0)
    assert sessions.get("a") is None


def test_shared_knowledge_belongs_to_no_session():
    notes = Notes()
    notes.put([b"k", b"a1"], Note("chat", "a", "c1", knowledge_chunks=1))
    notes.put([b"k", b"b1"], Note("chat", "b", "c1", knowledge_chunks=1))
    notes.put([b"x"], Note("chat", "a"))
    notes.put([b"x"], Note("chat", "b"))
    assert notes.only_of_session([b"k", b"a1", b"x", b"unknown"], "a") == [b"a1"]
    notes.drop_session("b", [b"x"])
    assert notes.only_of_session([b"x"], "a") == [b"x"]


def test_a_retired_commit_frees_what_no_other_commit_uses():
    notes = Notes()
    notes.put([b"same", b"old"], Note(None, None, "c1", knowledge_chunks=2))
    notes.put([b"same", b"new"], Note(None, None, "c2", knowledge_chunks=2))
    assert notes.release_commit("c1") == [b"old"]
    assert notes.release_commit("c1") == []
    assert sorted(notes.release_commit("c2")) == [b"new", b"same"]


def test_a_chunk_of_several_use_cases_is_treated_as_of_none():
    notes = Notes()
    notes.put([b"k"], Note("batch"))
    assert notes.use_case(b"k") == "batch"
    notes.put([b"k"], Note("chat"))
    assert notes.use_case(b"k") is None
    assert notes.use_case(b"unknown") is None


def test_the_knowledge_of_chats_waits_for_no_session_to_be_idle():
    notes = Notes()
    notes.put([b"k", b"own"], Note("chat", "s", "c1", knowledge_chunks=1))
    assert (notes.use_case(b"k"), notes.use_case(b"own")) == (None, "chat")
    notes.put([b"d"], Note("document", "s", "c1", knowledge_chunks=1))
    assert notes.use_case(b"d") == "document"


def test_a_text_that_many_sessions_share_is_nobodys_own():
    notes = Notes()
    for number in range(100):
        notes.put([b"system"], Note("chat", f"s{number}"))
    for number in range(99):
        notes.drop_session(f"s{number}", [b"system"])
    assert notes.only_of_session([b"system"], "s99") == []
    few = [f"f{number}" for number in range(8)]
    for name in few:
        notes.put([b"pair"], Note("chat", name))
    for name in few[1:]:
        notes.drop_session(name, [b"pair"])
    assert notes.only_of_session([b"pair"], few[0]) == [b"pair"]


def test_the_notes_are_bounded():
    notes = Notes(capacity=2)
    notes.put([b"a", b"b", b"c"], Note("chat"))
    assert (len(notes), notes.use_case(b"a")) == (2, None)


def test_silence_is_measured_by_the_gaps_between_a_sessions_own_requests():
    sessions = Sessions()
    assert sessions.silent_after_seconds is None
    sessions.ask("s", (b"a",), 0.0)
    sessions.ask("t", (b"a",), 1.0)  # the same knowledge, but another session
    assert sessions.silent_after_seconds is None
    sessions.expect(sessions.get("s"), 9.0)  # somebody types: not a request yet
    assert sessions.get("s").last_used == 9.0
    sessions.ask("s", (b"a",), 10.0)
    assert sessions.silent_after_seconds == 40.0
    sessions.ask("s", (b"a",), 40.0)
    assert sessions.silent_after_seconds == pytest.approx(4 * 11)
