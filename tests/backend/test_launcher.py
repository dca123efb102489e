"""The launcher with small real processes in the place of vLLM and LMCache."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import psutil
import pytest

from backend import processes
from backend.errors import AlreadyUp, LaunchBusy, LaunchError, LaunchOptionInvalid, PartFailed, PortTaken, StopFailed
from backend.launch_state import PartState, exclusive, log_path, read_state, supervisor_log, write_state
from backend.launcher import down, status, up
from backend.processes import mark_of, members

HANGS = "import time; print('thinking', flush=True); time.sleep(600)"
FAILS = "import sys; print('no room left for the cache'); sys.exit(3)"


def pids(state_dir: Path) -> dict[str, int | None]:
    return {part.name: part.pid for part in status(state_dir).parts}


def eventually(condition) -> bool:
    for _ in range(100):
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_both_parts_start_are_healthy_and_stop(plan, state_dir):
    heard, wanted = [], plan()
    result = up(wanted, state_dir, heard.append)
    assert result.healthy
    assert [part.condition for part in result.parts] == ["healthy", "healthy"]
    assert "part cache starts" in log_path(state_dir, "cache").read_text()
    assert any("engine is ready" in line for line in heard)
    commands = [part.command() for part in wanted.parts]
    assert [line for line in heard if line in commands] == commands
    report = down(state_dir)
    assert report.stopped == ("engine", "cache")
    assert report.killed_pids == ()
    assert [part.condition for part in status(state_dir).parts] == ["absent", "absent"]


def test_stopping_twice_and_stopping_nothing_are_fine(plan, state_dir, tmp_path):
    up(plan(), state_dir)
    down(state_dir)
    assert down(state_dir).stopped == ()
    assert down(tmp_path / "never").stopped == ()
    assert not (tmp_path / "never").exists()


def test_a_second_start_is_refused_and_changes_nothing(plan, state_dir):
    up(plan(), state_dir)
    before = pids(state_dir)
    with pytest.raises(AlreadyUp, match="cache, engine"):
        up(plan(), state_dir)
    assert pids(state_dir) == before


def test_a_taken_port_names_its_holder_and_the_option(plan, state_dir, free_ports):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_ports[1]))
        taken.listen()
        with pytest.raises(PortTaken) as failed:
            up(plan(), state_dir)
    assert (failed.value.port, failed.value.option) == (free_ports[1], "--engine-port")
    assert f"pid {os.getpid()}" in str(failed.value)
    assert set(pids(state_dir).values()) == {None}


def test_a_part_that_ends_shows_its_log_and_takes_the_others_down(plan, state_dir):
    with pytest.raises(PartFailed) as failed:
        up(plan(engine=FAILS), state_dir)
    assert failed.value.part == "engine"
    assert "exit code 3" in str(failed.value)
    assert "no room left for the cache" in str(failed.value)
    assert [part.condition for part in status(state_dir).parts] == ["absent", "absent"]
    assert members(None, log_path(state_dir, "cache")) == ()


def test_a_part_that_never_answers_is_given_up(plan, state_dir):
    slow = plan(engine=HANGS)
    slow = replace(slow, options=replace(slow.options, ready_seconds=0.5))
    with pytest.raises(PartFailed, match=r"within 0\.5 s") as failed:
        up(slow, state_dir)
    assert failed.value.tail == ("thinking",)


def test_a_program_that_does_not_exist_is_a_failed_part(plan, state_dir):
    good = plan()
    bad = replace(good, parts=(replace(good.parts[0], argv=("/nonexistent/python",)), good.parts[1]))
    with pytest.raises(PartFailed, match="cannot be started"):
        up(bad, state_dir)


def test_an_interrupt_during_the_start_leaves_nothing_behind(plan, state_dir):
    def interrupt(message: str) -> None:
        if "starting engine" in message:
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt):
        up(plan(engine=HANGS), state_dir, interrupt)
    assert set(pids(state_dir).values()) == {None}


@contextmanager
def unstoppable(monkeypatch, *names: str, interrupted: bool = False) -> Iterator[None]:
    """These parts outlive SIGKILL, or a person does not wait for their end; the others stop as ever."""
    stop = processes.stop

    def stop_or_not(present, mark, log, **grace):
        if log.stem not in names:
            return stop(present, mark, log, **grace)
        raise KeyboardInterrupt if interrupted else StopFailed((mark.pid,))

    with monkeypatch.context() as patched:
        patched.setattr(processes, "stop", stop_or_not)
        yield


def test_a_failed_start_says_why_and_what_could_not_be_stopped_and_stops_the_rest(plan, state_dir, monkeypatch):
    with unstoppable(monkeypatch, "engine"), pytest.raises(PartFailed, match="exit code 3") as failed:
        up(plan(engine=FAILS, restart=True), state_dir)
    assert failed.value.tail == ("no room left for the cache",)
    (left,) = read_state(state_dir).parts
    assert left.name == "engine"
    assert f"still running after SIGKILL: {left.process.pid};" in failed.value.__notes__[0]
    result = status(state_dir)
    assert (result.supervisor, members(None, supervisor_log(state_dir))) == ("off", ())
    assert "'kvasir backend down' stops what is left" in result.parts[1].detail
    assert members(None, log_path(state_dir, "cache")) == ()


def test_a_second_interrupt_skips_one_part_and_the_others_are_stopped(plan, state_dir, monkeypatch):
    with unstoppable(monkeypatch, "engine", interrupted=True), pytest.raises(KeyboardInterrupt):
        up(plan(engine=FAILS, restart=True), state_dir)
    assert [part.name for part in read_state(state_dir).parts] == ["engine"]
    assert status(state_dir).supervisor == "off"
    assert members(None, log_path(state_dir, "cache")) == ()


def test_a_failed_start_stops_its_parts_though_nobody_hears_of_it(plan, state_dir):
    def closed(message: str) -> None:
        if message.startswith(("starting engine", "stopping")):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        up(plan(), state_dir, closed)
    assert read_state(state_dir).parts == ()
    assert members(None, log_path(state_dir, "cache")) == ()


def test_stopping_goes_on_after_a_part_that_cannot_be_stopped(plan, state_dir, monkeypatch):
    up(plan(restart=True), state_dir)
    engine = pids(state_dir)["engine"]
    with unstoppable(monkeypatch, "engine"), pytest.raises(StopFailed) as failed:
        down(state_dir)
    assert failed.value.pids == (engine,)
    assert pids(state_dir) == {"cache": None, "engine": engine}
    assert status(state_dir).supervisor == "off"
    with pytest.raises(AlreadyUp, match="engine"):
        up(plan(restart=True), state_dir)
    assert status(state_dir).supervisor == "off"
    assert down(state_dir).ended_pids == (engine,)


def test_all_that_cannot_be_stopped_is_told_at_once(plan, state_dir, monkeypatch):
    up(plan(), state_dir)
    running = pids(state_dir)
    with unstoppable(monkeypatch, "engine", "cache"), pytest.raises(StopFailed) as failed:
        down(state_dir)
    assert failed.value.pids == (running["engine"], running["cache"])


def test_children_are_stopped_even_where_they_are_deaf(plan, state_dir):
    up(plan(extra=("family",)), state_dir)
    log = log_path(state_dir, "engine")
    assert eventually(lambda: "deaf" in log.read_text())
    assert len(members(read_state(state_dir).part("engine").process, log)) == 2
    report = down(state_dir)
    assert len(report.killed_pids) == 2


def test_orphans_of_a_killed_part_are_found_shown_and_stopped(plan, state_dir):
    up(plan(extra=("family",)), state_dir)
    os.kill(pids(state_dir)["engine"], signal.SIGKILL)
    assert eventually(lambda: status(state_dir).parts[1].condition == "ended")
    orphaned = status(state_dir).parts[1]
    assert len(orphaned.orphan_pids) == 1
    with pytest.raises(AlreadyUp):
        up(plan(), state_dir, only="engine")
    down(state_dir, only="engine")
    assert eventually(lambda: not psutil.pid_exists(orphaned.orphan_pids[0]))  # init asks for it in its own time
    assert pids(state_dir)["cache"]


def test_a_part_that_ignores_the_request_to_end_is_killed(plan, state_dir):
    up(plan(extra=("deaf",)), state_dir)
    assert len(down(state_dir).killed_pids) == 2


def test_a_reused_pid_is_never_touched(plan, state_dir):
    with subprocess.Popen([sys.executable, "-c", HANGS], stdout=subprocess.DEVNULL) as stranger:
        try:
            up(plan(), state_dir)
            down(state_dir)
            mark = replace(mark_of(stranger.pid), start_ticks=mark_of(stranger.pid).start_ticks - 1)
            entry = PartState("engine", log_path(state_dir, "engine"), "http://127.0.0.1:9/health", mark)
            write_state(state_dir, read_state(state_dir).with_part(entry))
            assert status(state_dir).parts[1].condition == "ended"
            assert down(state_dir).ended_pids == ()
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_start_that_was_killed_before_its_pid_was_written_is_still_stopped(plan, state_dir):
    up(plan(), state_dir)
    state = read_state(state_dir)
    pid = pids(state_dir)["engine"]
    write_state(state_dir, state.with_part(replace(state.part("engine"), process=None)))
    assert pid in down(state_dir).ended_pids


def test_the_engine_restarts_while_the_cache_lives(plan, state_dir):
    up(plan(), state_dir)
    before = pids(state_dir)
    assert down(state_dir, only="engine").stopped == ("engine",)
    assert not status(state_dir).healthy
    assert up(plan(), state_dir, only="engine").healthy
    after = pids(state_dir)
    assert after["cache"] == before["cache"]
    assert after["engine"] != before["engine"]


def test_an_engine_alone_needs_a_running_cache(plan, state_dir):
    with pytest.raises(LaunchOptionInvalid, match="cache is not up"):
        up(plan(), state_dir, only="engine")


def test_shared_memory_of_a_killed_part_is_removed_and_others_is_not(plan, state_dir):
    foreign = SharedMemory(create=True, size=4096)
    try:
        up(plan(extra=("memory", "deaf")), state_dir)
        text = log_path(state_dir, "engine").read_text()
        segment = Path("/dev/shm") / text.split("memory ")[1].split()[0]
        assert segment.exists()
        report = down(state_dir)
        assert segment in report.removed_segments
        assert not segment.exists()
        assert Path("/dev/shm", foreign.name).exists()
    finally:
        foreign.close()
        foreign.unlink()


def test_sockets_of_a_killed_part_are_removed_and_others_are_not(plan, state_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    up(plan(extra=("socket",)), state_dir)
    own = [tmp_path / "cache.socket", tmp_path / "engine.socket"]
    assert all(path.is_socket() for path in own)
    os.kill(pids(state_dir)["cache"], signal.SIGKILL)
    assert eventually(lambda: status(state_dir).parts[0].condition == "ended")
    with socket.socket(socket.AF_UNIX) as foreign:
        foreign.bind(str(tmp_path / "foreign.socket"))
        foreign.listen()
        own[0].unlink()
        with socket.socket(socket.AF_UNIX) as taken_over:
            taken_over.bind(str(own[0]))
            taken_over.listen()
            down(state_dir)
            assert own[0].exists()
        assert not own[1].exists()
        assert (tmp_path / "foreign.socket").exists()


def test_what_the_engines_processes_met_by_is_removed_and_other_temporary_files_stay(plan, state_dir, server_code):
    folder = state_dir / "tmp"
    made = "import os, tempfile; open(os.path.join(tempfile.gettempdir(), 'vllm_dist_1'), 'w').close()"
    planned = plan(engine=f"{made}\n{server_code}")
    cache, engine = planned.parts
    up(replace(planned, parts=(cache, replace(engine, env={"TMPDIR": str(folder)}))), state_dir)
    (folder / "compiled").touch()
    assert {path.name for path in folder.iterdir()} == {"vllm_dist_1", "compiled"}
    down(state_dir)
    assert {path.name for path in folder.iterdir()} == {"compiled"}


def test_two_starts_at_once_are_refused(plan, state_dir):
    with exclusive(state_dir), pytest.raises(LaunchBusy):
        up(plan(), state_dir)


def test_a_folder_that_cannot_be_made_names_its_option(plan, state_dir, tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(LaunchOptionInvalid, match=f"--home: '{file}/backend' cannot be made .* name another folder"):
        up(plan(), file / "backend")
    with pytest.raises(LaunchOptionInvalid, match=f"--kv-dir: '{file}/kv' cannot be made"):
        up(replace(plan(), kv_dir=file / "kv"), state_dir)


def test_the_log_of_the_start_before_is_kept(plan, state_dir):
    for _ in range(2):
        up(plan(), state_dir)
        down(state_dir)
    assert log_path(state_dir, "engine").with_suffix(".log.1").read_text().startswith("part engine starts")


def test_a_state_file_of_another_format_is_refused(state_dir):
    state_dir.mkdir()
    (state_dir / "state.json").write_text('{"format": 1}')
    with pytest.raises(LaunchError, match="format 1, this release reads 2; stop the backend with the release that"):
        status(state_dir)
    (state_dir / "state.json").write_text("{")
    with pytest.raises(LaunchError, match="cannot be read"):
        status(state_dir)
    (state_dir / "state.json").unlink()
