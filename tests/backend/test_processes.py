"""Which process is ours, and that it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from backend import processes
from backend.polling import until
from backend.processes import ProcessMark, end, exit_code, find, mark_of, spawn

# Leaves its child, once it ended, a zombie: as a notebook that ran `up` does.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def living(tmp_path: Path) -> Iterator[ProcessMark]:
    mark = spawn((sys.executable, "-c", "import time; time.sleep(600)"), os.environ, tmp_path / "log")
    yield mark
    end(mark)


def test_a_process_is_found_as_long_as_it_lives(living):
    found = find(living)
    assert found is not None
    assert found.pid == living.pid
    end(living)
    assert find(living) is None


def test_a_process_is_found_after_the_clock_was_set(living, monkeypatch):
    started = psutil.Process.create_time
    for seconds in (3600.0, -3600.0):
        monkeypatch.setattr(psutil.Process, "create_time", lambda process, by=seconds: started(process) + by)
        assert find(living) is not None


def test_the_same_pid_with_another_start_or_of_another_boot_is_another_process(living):
    assert find(replace(living, start_ticks=living.start_ticks + 1)) is None
    assert find(replace(living, boot_id="0f0c8b8e-9a1b-4b6e-8a51-1f6a3f1c2d3e")) is None


def test_a_start_is_read_whatever_the_program_is_called():
    name = Path("/proc/self/comm")
    plain, before = mark_of(os.getpid()), name.read_bytes()
    try:
        name.write_bytes(b"a) S 1 (b c) 0")
        assert mark_of(os.getpid()) == plain
    finally:
        name.write_bytes(before.strip())


def test_processes_that_start_one_after_the_other_have_starts_in_that_order(living):
    own = mark_of(os.getpid())
    assert 0 < own.start_ticks < living.start_ticks
    assert own.boot_id == living.boot_id != ""


def test_where_a_sandbox_has_no_boot_id_the_ticks_alone_decide(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "_BOOT_ID", tmp_path / "none")
    own = mark_of(os.getpid())
    assert find(own) is not None
    assert find(replace(own, start_ticks=own.start_ticks + 1)) is None


def test_a_process_that_ended_is_not_found_before_and_after_its_parent_asked_for_it(tmp_path):
    mark = spawn((sys.executable, "-c", "pass"), os.environ, tmp_path / "log")
    assert until(lambda: find(mark) is None, seconds=30.0)
    assert mark_of(mark.pid) == mark  # a zombie
    assert exit_code(mark) == 0
    assert find(mark) is None
    with pytest.raises(FileNotFoundError):
        mark_of(mark.pid)


def test_a_process_whose_parent_does_not_ask_for_it_has_ended_all_the_same():
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        try:
            end(mark_of(child.pid), grace_seconds=5.0)
            assert child.status() == psutil.STATUS_ZOMBIE
        finally:
            parent.kill()
