"""A part that dies is started again, with small real processes in the place of vLLM and LMCache."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from backend import processes
from backend.back_off import BackOff
from backend.errors import AlreadyUp, LaunchBusy, StopFailed
from backend.launch_state import PartState, exclusive, log_path, read_state, supervisor_log
from backend.launcher import PartStatus, down, status, up
from backend.processes import find, members
from backend.supervisor import Supervisor, end_supervisor

PATIENCE_SECONDS = 30.0

# Answers like any part the first time; what it does later is told by the text behind it.
ONCE = """
import pathlib, sys, time
mark = pathlib.Path(sys.argv[2] + ".started").resolve()
if mark.exists():
    {later}
mark.touch()
"""


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def once(tmp_path, monkeypatch, server_code):
    """A program that serves at its first start, and does something else from then on."""
    monkeypatch.chdir(tmp_path)
    return lambda later: ONCE.format(later=later) + server_code


def supervisor(state_dir: Path, clock: Clock, said: list[str] | None = None) -> Supervisor:
    back_off = BackOff(first_seconds=8.0, most=2, settled_seconds=100.0)
    return Supervisor(state_dir, (said if said is not None else []).append, back_off, clock)


def kill(state_dir: Path, name: str) -> None:
    mark = entry(state_dir, name).process
    assert mark is not None
    os.kill(mark.pid, signal.SIGKILL)
    assert eventually(lambda: find(mark) is None)


def entry(state_dir: Path, name: str) -> PartState:
    found = next(part for part in read_state(state_dir).parts if part.name == name)
    assert isinstance(found, PartState)
    return found


def shown(state_dir: Path, name: str) -> PartStatus:
    return next(part for part in status(state_dir).parts if part.name == name)


def set_clock(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """As psutil shows it: the starts of processes that run already move with the clock."""
    started = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: started(process) + seconds)


def eventually(condition) -> bool:
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def let_look_twice(state_dir: Path) -> None:
    """Counted from when the supervisor says that it is there: it looks each second from then on."""
    watcher = read_state(state_dir).supervisor
    assert watcher is not None
    assert eventually(lambda: f"(pid {watcher.pid})" in supervisor_log(state_dir).read_text())
    time.sleep(2.5)
    assert find(watcher) is not None


@contextmanager
def held(state_dir: Path) -> Iterator[None]:
    """The folder's lock, which the supervisor has for a moment at each look."""
    with ExitStack() as stack:

        def taken() -> bool:
            with suppress(LaunchBusy):
                stack.enter_context(exclusive(state_dir))
                return True
            return False

        assert eventually(taken)
        yield


def test_a_killed_part_is_started_again_after_its_wait_and_its_log_is_kept(plan, state_dir, clock):
    up(plan(), state_dir)
    engine_pid, cache_pid = shown(state_dir, "engine").pid, shown(state_dir, "cache").pid
    kill(state_dir, "cache")
    said: list[str] = []
    watch = supervisor(state_dir, clock, said)
    watch.tend()
    assert said == ["cache: ended with exit code -9; starting it again in 8 s"]
    clock.now += 7.9
    watch.tend()
    assert shown(state_dir, "cache").condition == "ended"
    clock.now += 0.2
    watch.tend()
    again = shown(state_dir, "cache")
    assert (again.condition, again.restarts.total) == ("healthy", 1)
    assert "started again once at " in again.detail
    assert again.pid != cache_pid
    assert shown(state_dir, "engine").pid == engine_pid
    assert log_path(state_dir, "cache").read_text().count("part cache starts") == 2


def test_waits_double_and_then_it_gives_up_and_says_so(plan, state_dir, clock, once):
    up(plan(engine=once("sys.exit(3)")), state_dir)
    kill(state_dir, "engine")
    watch = supervisor(state_dir, clock)
    for wait in (8.0, 16.0):
        watch.tend()
        assert entry(state_dir, "engine").restarts.next_at == clock.now + wait
        clock.now += wait
    watch.tend()
    part = shown(state_dir, "engine")
    assert part.restarts.given_up
    assert "exit code 3; given up after 2 restarts in a row" in part.detail
    assert "kvasir backend up --only engine" in part.detail
    clock.now += 1000.0
    watch.tend()
    assert entry(state_dir, "engine").restarts == part.restarts
    assert up(plan(), state_dir, only="engine").healthy
    assert not entry(state_dir, "engine").restarts.given_up


def test_a_part_that_settled_is_counted_from_the_beginning(plan, state_dir, clock):
    up(plan(), state_dir)
    watch = supervisor(state_dir, clock)
    for _ in range(3):  # one more than in a row are allowed
        kill(state_dir, "cache")
        watch.tend()
        clock.now += 8.0
        watch.tend()
        clock.now += 101.0
        watch.tend()
    restarts = entry(state_dir, "cache").restarts
    assert (restarts.total, restarts.in_a_row) == (3, 0)


def test_a_part_whose_stop_did_not_come_to_an_end_is_not_started_again(plan, state_dir, clock, monkeypatch):
    up(plan(restart=True), state_dir)

    def stop(present, mark, log, **grace) -> None:
        raise StopFailed((mark.pid,))

    with monkeypatch.context() as patched:
        patched.setattr(processes, "stop", stop)
        with pytest.raises(StopFailed):
            down(state_dir, only="engine")
    assert status(state_dir).supervisor == "running"  # for the cache
    end_supervisor(state_dir)
    kill(state_dir, "engine")
    said: list[str] = []
    watch = supervisor(state_dir, clock, said)
    watch.tend()
    assert said == []
    kill(state_dir, "cache")
    watch.tend()
    assert said == ["cache: ended with exit code -9; starting it again in 8 s"]


def test_the_engine_waits_for_the_cache(plan, state_dir, clock, once):
    up(plan(cache=once("sys.exit(1)")), state_dir)
    kill(state_dir, "engine")
    kill(state_dir, "cache")
    watch = supervisor(state_dir, clock)
    for _ in range(4):
        watch.tend()
        clock.now += 50.0
    assert entry(state_dir, "cache").restarts.given_up
    assert entry(state_dir, "engine").restarts.total == 0


def test_what_a_killed_part_left_behind_is_ended_before_it_starts_again(plan, state_dir, clock):
    up(plan(extra=("family",)), state_dir)
    log = log_path(state_dir, "engine")
    assert eventually(lambda: "deaf" in log.read_text())
    kill(state_dir, "engine")
    orphan = shown(state_dir, "engine").orphan_pids[0]
    watch = supervisor(state_dir, clock)
    watch.tend()
    clock.now += 8.0
    watch.tend()
    assert orphan not in [process.pid for process in members(entry(state_dir, "engine").process, log)]
    assert shown(state_dir, "engine").condition == "healthy"


def test_a_clock_that_is_set_ends_no_living_part(plan, state_dir, clock, monkeypatch):
    up(plan(), state_dir)
    before = [part.pid for part in status(state_dir).parts]
    set_clock(monkeypatch, 3600.0)
    said: list[str] = []
    watch = supervisor(state_dir, clock, said)
    watch.tend()
    clock.now += 3600.0
    watch.tend()
    assert said == []
    assert [part.pid for part in status(state_dir).parts] == before


def test_up_leaves_a_supervisor_that_restarts_what_was_killed_and_down_leaves_nothing(plan, state_dir):
    assert up(plan(restart=True), state_dir).supervisor == "running"
    before = shown(state_dir, "engine").pid
    kill(state_dir, "engine")
    assert eventually(lambda: status(state_dir).healthy)
    assert shown(state_dir, "engine").pid != before
    watcher = read_state(state_dir).supervisor
    down(state_dir)
    assert find(watcher) is None
    assert status(state_dir).supervisor == "off"
    for log in (log_path(state_dir, "engine"), supervisor_log(state_dir)):
        assert members(None, log) == ()


def test_a_killed_supervisor_is_told_missed_by_nobody_and_started_by_the_next_up(plan, state_dir):
    up(plan(restart=True), state_dir)
    watcher = read_state(state_dir).supervisor
    os.kill(watcher.pid, signal.SIGKILL)
    assert eventually(lambda: find(watcher) is None)
    result = status(state_dir)
    assert (result.healthy, result.supervisor) == (True, "ended")
    heard: list[str] = []
    with pytest.raises(AlreadyUp):
        up(plan(restart=True), state_dir, heard.append)
    assert "the supervisor had ended" in heard[0]
    assert status(state_dir).supervisor == "running"


def test_stopping_the_engine_alone_is_no_death(plan, state_dir):
    up(plan(restart=True), state_dir)
    down(state_dir, only="engine")
    assert status(state_dir).supervisor == "running"
    let_look_twice(state_dir)
    assert shown(state_dir, "engine").condition == "absent"


def test_down_does_not_wait_for_a_part_that_is_being_started_again(plan, state_dir, once):
    up(plan(engine=once("time.sleep(600)"), restart=True), state_dir)
    before = shown(state_dir, "engine").pid
    kill(state_dir, "engine")

    def busy() -> bool:
        return shown(state_dir, "engine").pid not in (None, before)

    assert eventually(busy)
    assert set(down(state_dir).stopped) == {"engine", "cache"}
    assert members(None, log_path(state_dir, "engine")) == ()


def test_a_supervisor_leaves_a_folder_alone_that_an_up_holds(plan, state_dir):
    up(plan(restart=True), state_dir)
    with held(state_dir):
        kill(state_dir, "cache")
        let_look_twice(state_dir)
        assert entry(state_dir, "cache").restarts.next_at is None
    assert eventually(lambda: entry(state_dir, "cache").restarts.next_at is not None)
