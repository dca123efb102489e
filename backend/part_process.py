"""Starts and stops one part of the pair, and keeps `state.json` true at every step. The caller holds the lock."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from backend import processes
from backend.errors import PartFailed
from backend.health import wait_until_healthy
from backend.launch_state import PartState, log_path, read_state, write_state
from backend.plan import Part, PartName
from backend.shared_memory import pool_segment, remove_segments, segments_of
from backend.temporary_files import make_temporary_folder, remove_temporary_files
from backend.unix_sockets import remove_sockets, sockets_of

Progress = Callable[[str], None]

_GRACE_SECONDS = 20.0
_TAIL_LINES = 20
_PROGRESS_EVERY_SECONDS = 10.0


def start_part(
    part: Part, state_dir: Path, ready_seconds: float, on_progress: Progress, *, again: PartState | None = None
) -> None:
    """Start `part`, and return when it answers. `again` is its entry where it died and is started anew: the log of
    what happened stays, and so does the count of restarts.

    Raises `PartFailed`; what was started then still has to be stopped.
    """
    log = log_path(state_dir, part.name)
    if again is None and log.exists():
        log.replace(log.with_suffix(".log.1"))
    segments = (pool_segment(part.segment),) if part.segment else ()
    remove_segments(segments)  # of a server that was killed; LMCache would map the old memory
    entry = PartState(part.name, log, part.health_url, segments=segments, part=part)
    if again is not None:
        entry = replace(entry, restarts=again.restarts)
    # First without the pid: should we be killed right after the start, `down` still knows the log to look for.
    write_state(state_dir, read_state(state_dir).with_part(entry))
    make_temporary_folder(part)
    on_progress(f"starting {part.name}; log: {log}")
    try:
        mark = processes.spawn(part.argv, {**os.environ, **part.env}, log)
    except OSError as exc:
        raise PartFailed(part.name, f"cannot be started: {exc}", log, ()) from exc
    entry = replace(entry, process=mark)
    write_state(state_dir, read_state(state_dir).with_part(entry))
    _wait(part, mark, log, ready_seconds, on_progress)
    pids = [process.pid for process in processes.members(mark, log)]
    mapped, bound = segments_of(pids), sockets_of(pids)
    entry = replace(entry, segments=tuple(sorted({*segments, *mapped})), sockets=tuple(sorted(bound)))
    write_state(state_dir, read_state(state_dir).with_part(entry))


def stop_part(name: PartName, state_dir: Path) -> tuple[processes.Stopped, tuple[Path, ...]]:
    """End the part, what it left behind and its shared memory, and forget it. Raises `StopFailed`."""
    part = read_state(state_dir).part(name)
    if part is None:
        return processes.Stopped((), ()), ()
    try:
        stopped = end_processes(part)
    except BaseException:  # a second Ctrl-C, too
        write_state(state_dir, read_state(state_dir).with_part(replace(part, stopping=True)))
        raise
    write_state(state_dir, read_state(state_dir).without_part(name))
    return stopped


def end_processes(part: PartState) -> tuple[processes.Stopped, tuple[Path, ...]]:
    """End all processes of the part, and remove its shared memory, sockets and temporary files. Raises `StopFailed`."""
    present = processes.members(part.process, part.log)
    pids = [process.pid for process in present]
    segments, sockets = {*part.segments, *segments_of(pids)}, {*part.sockets, *sockets_of(pids)}
    gone = processes.stop(present, part.process, part.log, grace_seconds=_GRACE_SECONDS)
    remove_sockets(sockets)
    if part.part:
        remove_temporary_files(part.part)
    return gone, remove_segments(segments)


def _wait(part: Part, mark: processes.ProcessMark, log: Path, ready_seconds: float, on_progress: Progress) -> None:
    reported = 0.0

    def report(waited_seconds: float) -> None:
        nonlocal reported
        if waited_seconds - reported >= _PROGRESS_EVERY_SECONDS:
            reported = waited_seconds
            on_progress(f"waiting for {part.name}: {waited_seconds:.0f} s")

    ready = wait_until_healthy(
        part.health_url, lambda: processes.find(mark) is None, timeout_seconds=ready_seconds, on_wait=report
    )
    if ready:
        on_progress(f"{part.name} is ready (pid {mark.pid})")
        return
    if processes.find(mark) is None:
        code = processes.exit_code(mark)
        reason = "ended while starting" if code is None else f"ended while starting, with exit code {code}"
    else:
        reason = f"did not answer at {part.health_url} within {ready_seconds:g} s (--ready-seconds)"
    raise PartFailed(part.name, reason, log, _tail(log))


def _tail(log: Path) -> tuple[str, ...]:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return ()
    return tuple(lines[-_TAIL_LINES:])
