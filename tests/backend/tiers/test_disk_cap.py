from __future__ import annotations

import os

from hypothesis import given, settings
from hypothesis import strategies as st

from backend.tiers.disk_cap import DiskCap


def put(folder, name: str, size: int, age: float = 0.0) -> None:
    path = folder / name
    path.write_bytes(b"x" * size)
    os.utime(path, (1e9 - age, 1e9 - age))


def test_files_of_an_earlier_process_count_and_the_oldest_go_first(tmp_path):
    put(tmp_path, "old", 40, age=9)
    put(tmp_path, "new", 40, age=1)
    cap = DiskCap(tmp_path, 100)
    assert cap.total_bytes == 80
    admission = cap.admit([("next", 30)])
    assert (admission.admitted, admission.victims) == (("next",), ("old",))
    assert cap.total_bytes == 70


def test_a_folder_over_the_cap_at_the_start_is_brought_under_it(tmp_path):
    for age, name in enumerate("dcba"):
        put(tmp_path, name, 30, age=age)
    cap = DiskCap(tmp_path, 70)
    assert cap.over() == ("a", "b")
    assert cap.total_bytes == 60
    assert cap.over() == ()


def test_what_is_on_its_way_counts_and_is_no_victim(tmp_path):
    cap = DiskCap(tmp_path, 100)
    assert cap.admit([("a", 60)]).admitted == ("a",)
    refused = cap.admit([("b", 60)])
    assert (refused.admitted, refused.victims) == ((), ())
    cap.written("a", 60)
    assert cap.admit([("b", 60)]).victims == ("a",)


def test_chunks_of_one_prompt_do_not_push_each_other_out(tmp_path):
    put(tmp_path, "old", 50)
    cap = DiskCap(tmp_path, 100)
    admission = cap.admit([("p0", 40), ("p1", 40), ("p2", 40)])
    assert (admission.admitted, admission.victims) == (("p0", "p1"), ("old",))


def test_a_file_that_is_there_costs_nothing_to_admit(tmp_path):
    put(tmp_path, "a", 90)
    cap = DiskCap(tmp_path, 100)
    assert cap.admit([("a", 90)]).victims == ()
    assert cap.total_bytes == 90


def test_use_keeps_a_file_and_a_head_outlives_its_tail(tmp_path):
    for age, name in enumerate(["other", "tail", "head"]):
        put(tmp_path, name, 30, age=age)
    cap = DiskCap(tmp_path, 90)
    cap.touch(["head", "tail"])
    assert cap.admit([("x", 30)]).victims == ("other",)
    assert cap.admit([("y", 30)]).victims == ("tail",)


def test_the_true_size_replaces_the_reserved_one(tmp_path):
    cap = DiskCap(tmp_path, 100)
    cap.admit([("a", 60)])
    cap.written("a", 20)
    assert cap.total_bytes == 20
    cap.forget("a")
    assert cap.total_bytes == 0


def test_a_rescan_finds_what_others_wrote_and_drops_what_is_gone(tmp_path):
    put(tmp_path, "a", 10)
    cap = DiskCap(tmp_path, 100)
    cap.admit([("coming", 5)])
    (tmp_path / "a").unlink()
    put(tmp_path, "b", 20)
    cap.rescan()
    assert ("a" in cap, "b" in cap, "coming" in cap) == (False, True, True)
    assert cap.total_bytes == 25


def test_what_never_arrives_gives_its_room_back(tmp_path):
    cap = DiskCap(tmp_path, 100)
    cap.admit([("lost", 60)])
    assert (cap.rescan(), cap.total_bytes) == (0, 60)
    assert (cap.rescan(), cap.total_bytes) == (60, 0)


def test_half_written_files_are_counted_by_their_admission_alone(tmp_path):
    cap = DiskCap(tmp_path, 100)
    cap.admit([("a", 60)])
    put(tmp_path, "a.tmp", 30)
    cap.rescan()
    assert cap.total_bytes == 60


def test_an_absent_folder_is_an_empty_one(tmp_path):
    assert DiskCap(tmp_path / "none", 10).total_bytes == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 40), st.booleans()), max_size=40))
def test_whatever_is_asked_the_cap_holds(tmp_path_factory, steps):
    cap = DiskCap(tmp_path_factory.mktemp("kv"), 100)
    present: dict[str, int] = {}
    for number, size, finishes in steps:
        name = str(number)
        admission = cap.admit([(name, size)])
        for victim in admission.victims:
            del present[victim]
        if admission.admitted and name not in present:
            present[name] = size
        if finishes and name in present:
            cap.written(name, present[name])
        assert cap.total_bytes == sum(present.values()) <= 100
