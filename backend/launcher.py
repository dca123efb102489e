"""Starts, shows and stops the pair of a plan. Everything it needs to find again lies in one folder, `HOME/backend`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from backend import ports, processes
from backend.back_off import NO_RESTARTS, Restarts
from backend.errors import AlreadyUp, LaunchOptionInvalid, PortTaken, StopFailed
from backend.health import probe
from backend.launch_state import (
    PART_NAMES,
    LaunchState,
    PartState,
    exclusive,
    log_path,
    make_folder,
    read_state,
    write_state,
)
from backend.part_process import Progress, start_part, stop_part
from backend.plan import LaunchPlan, Part, PartName
from backend.supervisor import end_supervisor, leave_supervisor

PartCondition = Literal["healthy", "unhealthy", "ended", "absent"]
SupervisorCondition = Literal["running", "ended", "off"]


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
    restarts: Restarts = NO_RESTARTS


@dataclass(frozen=True)
class BackendStatus:
    """All parts, started or not. A `supervisor` that `ended` did so by itself, or was killed: the parts go on."""

    state_dir: Path
    served_name: str | None
    api_base: str | None
    parts: tuple[PartStatus, ...]
    supervisor: SupervisorCondition = "off"

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

    A failure that leaves something running has a note that says what; no supervisor starts that again.
    `on_progress` hears the exact command of each part before it starts, as a shell takes it.
    Leaves a supervisor, unless the options say otherwise; one that had ended is started again even where all parts run.
    Raises `AlreadyUp`, `PortTaken`, `PartFailed`, `LaunchBusy`, and `LaunchOptionInvalid` for an engine alone without
    a cache to connect to.
    """
    state_dir = state_dir.expanduser().resolve()
    if _supervisor(read_state(state_dir)) == "ended":
        on_progress("the supervisor had ended by itself; it is started again")
    end_supervisor(state_dir)
    with exclusive(state_dir):
        try:
            _start_parts(plan, state_dir, on_progress, only)
        finally:
            _supervise(state_dir)
    return status(state_dir)


def down(state_dir: Path, on_progress: Progress = lambda _: None, *, only: PartName | None = None) -> StopReport:
    """Stop what `up` started and what that left behind. Nothing else, and no error where nothing runs.

    Raises `LaunchBusy`, or `StopFailed` for the processes that outlive SIGKILL, when all the others have ended.
    """
    state_dir = state_dir.expanduser().resolve()
    if not state_dir.is_dir():
        return StopReport((), (), (), ())
    end_supervisor(state_dir)
    with exclusive(state_dir):
        state = read_state(state_dir)
        names = [name for name in PART_NAMES if only in (None, name) and state.part(name) is not None]
        try:
            return _stop_parts(names, state_dir, on_progress)
        finally:
            _supervise(state_dir)


def status(state_dir: Path) -> BackendStatus:
    """How every part does now. Changes nothing."""
    state_dir = state_dir.expanduser().resolve()
    state = read_state(state_dir)
    port = state.options.engine_port if state.options else None
    return BackendStatus(
        state_dir=state_dir,
        served_name=state.served_name,
        api_base=f"http://127.0.0.1:{port}/v1" if port else None,
        parts=tuple(_part_status(name, state, state_dir) for name in PART_NAMES),
        supervisor=_supervisor(state),
    )


def _start_parts(plan: LaunchPlan, state_dir: Path, on_progress: Progress, only: PartName | None) -> None:
    wanted = [part for part in plan.parts if only is None or part.name == only]
    state = read_state(state_dir)
    _check_startable(state, wanted, only, state_dir)
    (state_dir / "logs").mkdir(exist_ok=True)
    make_folder(plan.kv_dir, "--kv-dir")
    write_state(state_dir, replace(state, options=plan.options, served_name=plan.served_name))
    begun: list[PartName] = []
    try:
        for part in wanted:
            begun.append(part.name)
            on_progress(part.command())
            start_part(part, state_dir, plan.options.ready_seconds, on_progress)
    except BaseException as exc:
        try:
            _stop_parts(begun, state_dir, on_progress)
        except (StopFailed, OSError) as problem:
            exc.add_note(f"while stopping what this start had begun: {problem}")
        raise


def _stop_parts(names: Sequence[PartName], state_dir: Path, on_progress: Progress) -> StopReport:
    """Stop every part, the last one first, whatever becomes of the others or of `on_progress`.

    Raises one `StopFailed` at the end, for all processes that outlive SIGKILL.
    """
    stopped: list[PartName] = []
    ended: list[int] = []
    killed: list[int] = []
    removed: list[Path] = []
    left: list[int] = []

    def stop(name: PartName) -> None:
        try:
            gone, segments = stop_part(name, state_dir)
        except StopFailed as exc:
            left.extend(exc.pids)
            return
        stopped.append(name)
        ended.extend(gone.ended)
        killed.extend(gone.killed)
        removed.extend(segments)

    with ExitStack() as each:  # it goes on where one of them raises
        for name in names:
            each.callback(stop, name)
            each.callback(on_progress, f"stopping {name}")
    if left:
        raise StopFailed(tuple(left))
    return StopReport(tuple(stopped), tuple(ended), tuple(killed), tuple(removed))


def _supervise(state_dir: Path) -> None:
    """Leave a supervisor where there is something to supervise, and record none where there is not."""
    state = read_state(state_dir)
    wanted = any(not part.stopping for part in state.parts)
    if wanted and state.options and state.options.restart:
        leave_supervisor(state_dir)
    elif state.supervisor is not None:
        write_state(state_dir, replace(state, supervisor=None))


def _supervisor(state: LaunchState) -> SupervisorCondition:
    if state.supervisor is None:
        return "off"
    return "running" if processes.find(state.supervisor) else "ended"


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


def _part_status(name: PartName, state: LaunchState, state_dir: Path) -> PartStatus:
    part = state.part(name)
    if part is None:
        return PartStatus(name, "absent", "not started", None, (), 0, None, log_path(state_dir, name))
    alive = processes.members(part.process, part.log)
    leader = processes.find(part.process) if part.process else None
    condition: PartCondition = "ended"
    detail = _ended(part, _supervisor(state))
    if leader is not None:
        health = probe(part.health_url)
        condition, detail = ("healthy", _restarted(part)) if health.healthy else ("unhealthy", health.detail)
    return PartStatus(
        name=name,
        condition=condition,
        detail=detail,
        pid=leader.pid if leader else None,
        orphan_pids=() if leader else tuple(process.pid for process in alive),
        resident_bytes=processes.resident_bytes(alive),
        health_url=part.health_url,
        log=part.log,
        restarts=part.restarts,
    )


def _ended(part: PartState, supervisor: SupervisorCondition) -> str:
    restarts = part.restarts
    if part.stopping:
        return "its stop did not come to an end; 'kvasir backend down' stops what is left"
    if restarts.given_up:
        return (
            f"{restarts.problem}; given up after {restarts.in_a_row} restarts in a row: "
            f"read its log, then 'kvasir backend up --only {part.name}'"
        )
    if supervisor != "running":
        return "it ended by itself; read its log, then 'kvasir backend down'"
    if restarts.next_at is None:
        return "it ended by itself; it is started again, the cache before the engine"
    return f"{restarts.problem}; started again in {max(0.0, restarts.next_at - time.time()):.0f} s"


def _restarted(part: PartState) -> str:
    restarts = part.restarts
    if restarts.last_at is None:
        return ""
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(restarts.last_at))
    often = "once" if restarts.total == 1 else f"{restarts.total} times, last"
    return f"started again {often} at {at} ({restarts.problem})"
