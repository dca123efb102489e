"""Starts, shows and stops the pair of a plan. Everything it needs to find again lies in one folder, `HOME/backend`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from backend import ports, processes
from backend.errors import AlreadyUp, LaunchOptionInvalid, PartFailed, PortTaken
from backend.health import probe, wait_until_healthy
from backend.launch_state import (
    PART_NAMES,
    LaunchState,
    PartState,
    exclusive,
    log_path,
    read_state,
    write_state,
)
from backend.plan import LaunchPlan, Part, PartName
from backend.shared_memory import pool_segment, remove_segments, segments_of

Progress = Callable[[str], None]
PartCondition = Literal["healthy", "unhealthy", "ended", "absent"]

_GRACE_SECONDS = 20.0
_TAIL_LINES = 20
_PROGRESS_EVERY_SECONDS = 10.0


@dataclass(frozen=True)
class PartStatus:
    """`ended` is a part that was started and is gone without `down`; `orphan_pids` are what it left behind."""

    name: PartName
    condition: PartCondition
    detail: str
    pid: int | None
    orphan_pids: tuple[int, ...]
    resident_bytes: int
    health_url: str | None
    log: Path


@dataclass(frozen=True)
class BackendStatus:
    """All parts, started or not."""

    state_dir: Path
    served_name: str | None
    api_base: str | None
    parts: tuple[PartStatus, ...]

    @property
    def healthy(self) -> bool:
        return all(part.condition == "healthy" for part in self.parts)


@dataclass(frozen=True)
class StopReport:
    """What `down` did; empty when nothing ran."""

    stopped: tuple[PartName, ...]
    ended_pids: tuple[int, ...]
    killed_pids: tuple[int, ...]
    removed_segments: tuple[Path, ...]


def up(
    plan: LaunchPlan, state_dir: Path, on_progress: Progress = lambda _: None, *, only: PartName | None = None
) -> BackendStatus:
    """Start the plan's parts and return when they answer. On any failure, Ctrl-C included, stop what this call started.

    Raises `AlreadyUp`, `PortTaken`, `PartFailed`, `LaunchBusy`, and `LaunchOptionInvalid` for an engine alone without
    a cache to connect to.
    """
    state_dir = state_dir.expanduser().resolve()
    wanted = [part for part in plan.parts if only is None or part.name == only]
    with exclusive(state_dir):
        state = read_state(state_dir)
        _check_startable(state, wanted, only, state_dir)
        (state_dir / "logs").mkdir(exist_ok=True)
        plan.kv_dir.mkdir(parents=True, exist_ok=True)
        state = replace(state, options=plan.options, served_name=plan.served_name)
        begun: list[PartName] = []
        try:
            for part in wanted:
                begun.append(part.name)
                state = _start(part, plan, state, state_dir, on_progress)
        except BaseException:
            for name in reversed(begun):
                on_progress(f"stopping {name}")
                _stop_part(name, state_dir)
            raise
    return status(state_dir)


def down(state_dir: Path, on_progress: Progress = lambda _: None, *, only: PartName | None = None) -> StopReport:
    """Stop what `up` started and what that left behind. Nothing else, and no error where nothing runs.

    Raises `LaunchBusy`, or `StopFailed` for a process that outlives SIGKILL.
    """
    state_dir = state_dir.expanduser().resolve()
    if not state_dir.is_dir():
        return StopReport((), (), (), ())
    stopped: list[PartName] = []
    ended: list[int] = []
    killed: list[int] = []
    removed: list[Path] = []
    with exclusive(state_dir):
        for name in reversed(PART_NAMES):
            if only not in (None, name) or read_state(state_dir).part(name) is None:
                continue
            on_progress(f"stopping {name}")
            gone, segments = _stop_part(name, state_dir)
            stopped.append(name)
            ended += gone.ended
            killed += gone.killed
            removed += segments
    return StopReport(tuple(stopped), tuple(ended), tuple(killed), tuple(removed))


def status(state_dir: Path) -> BackendStatus:
    """How every part does now. Changes nothing."""
    state_dir = state_dir.expanduser().resolve()
    state = read_state(state_dir)
    port = state.options.engine_port if state.options else None
    return BackendStatus(
        state_dir=state_dir,
        served_name=state.served_name,
        api_base=f"http://127.0.0.1:{port}/v1" if port else None,
        parts=tuple(_part_status(name, state.part(name), state_dir) for name in PART_NAMES),
    )


def _check_startable(state: LaunchState, wanted: Sequence[Part], only: PartName | None, state_dir: Path) -> None:
    running = []
    for part in wanted:
        known = state.part(part.name)
        log = known.log if known else log_path(state_dir, part.name)
        if processes.members(known.process if known else None, log):
            running.append(part.name)
    if running:
        raise AlreadyUp(tuple(running), state_dir)
    if only == "engine":
        cache = state.part("cache")
        if cache is None or not probe(cache.health_url).healthy:
            raise LaunchOptionInvalid("--only engine", "the cache is not up, and the engine connects to it; start both")
    for part in wanted:
        for port in part.ports:
            if not ports.is_free(port.number):
                raise PortTaken(port.number, part.name, ports.holder(port.number), port.option)


def _start(part: Part, plan: LaunchPlan, state: LaunchState, state_dir: Path, on_progress: Progress) -> LaunchState:
    log = log_path(state_dir, part.name)
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    segments = (pool_segment(part.segment),) if part.segment else ()
    remove_segments(segments)  # of a server that was killed; LMCache would map the old memory
    entry = PartState(part.name, log, part.health_url, segments=segments)
    # First without the pid: should we be killed right after the start, `down` still knows the log to look for.
    write_state(state_dir, state.with_part(entry))
    on_progress(f"starting {part.name}; log: {log}")
    try:
        mark = processes.spawn(part.argv, {**os.environ, **part.env}, log)
    except OSError as exc:
        raise PartFailed(part.name, f"cannot be started: {exc}", log, ()) from exc
    entry = replace(entry, process=mark)
    state = state.with_part(entry)
    write_state(state_dir, state)
    _wait(part, mark, log, plan.options.ready_seconds, on_progress)
    mapped = segments_of(process.pid for process in processes.members(mark, log))
    state = state.with_part(replace(entry, segments=tuple(sorted({*segments, *mapped}))))
    write_state(state_dir, state)
    return state


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


def _stop_part(name: PartName, state_dir: Path) -> tuple[processes.Stopped, tuple[Path, ...]]:
    state = read_state(state_dir)
    part = state.part(name)
    if part is None:
        return processes.Stopped((), ()), ()
    present = processes.members(part.process, part.log)
    segments = {*part.segments, *segments_of(process.pid for process in present)}
    gone = processes.stop(present, part.process, part.log, grace_seconds=_GRACE_SECONDS)
    removed = remove_segments(segments)
    write_state(state_dir, state.without_part(name))
    return gone, removed


def _part_status(name: PartName, part: PartState | None, state_dir: Path) -> PartStatus:
    if part is None:
        return PartStatus(name, "absent", "not started", None, (), 0, None, log_path(state_dir, name))
    alive = processes.members(part.process, part.log)
    leader = processes.find(part.process) if part.process else None
    condition: PartCondition = "ended"
    detail = "it ended by itself; read its log, then 'kvasir backend down'"
    if leader is not None:
        health = probe(part.health_url)
        condition, detail = ("healthy", "") if health.healthy else ("unhealthy", health.detail)
    return PartStatus(
        name=name,
        condition=condition,
        detail=detail,
        pid=leader.pid if leader else None,
        orphan_pids=() if leader else tuple(process.pid for process in alive),
        resident_bytes=processes.resident_bytes(alive),
        health_url=part.health_url,
        log=part.log,
    )


def _tail(log: Path) -> tuple[str, ...]:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return ()
    return tuple(lines[-_TAIL_LINES:])
