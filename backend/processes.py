"""Processes that we started, and nobody else's. Linux.

A process is ours if it is the one recorded (same pid and same start, so a reused pid is not), a descendant of it, or
writes its standard output to the part's log. The last finds what outlives its parent: vLLM's EngineCore and Worker
rename themselves, which overwrites their environment, but they keep the log open.

A start is counted in ticks since the machine's boot, which are exact and stay as they are. The time of day of a start,
as psutil's `create_time` gives it, moves whenever the machine's clock is set: at the first synchronisation after a
boot, or when a virtual machine is resumed. `proc_pid_stat(5)` and `random(4)` describe the files.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from backend.errors import StopFailed
from backend.polling import until

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_START_FIELD = 22  # of `/proc/PID/stat`, counted from 1
_POLL_SECONDS = 0.02
_GONE = (psutil.NoSuchProcess, psutil.ZombieProcess)


@dataclass(frozen=True)
class ProcessMark:
    """One process, and no other one of this boot or a later one. `start_ticks` are clock ticks since the boot."""

    pid: int
    start_ticks: int
    boot_id: str


@dataclass(frozen=True)
class Stopped:
    """`ended` went when asked, `killed` did not."""

    ended: tuple[int, ...]
    killed: tuple[int, ...]


def spawn(argv: Sequence[str], env: Mapping[str, str], log: Path) -> ProcessMark:
    """Start `argv` as the leader of a session of its own, so that a Ctrl-C here does not reach it.

    Its output is appended to `log`. Raises `OSError` where `argv[0]` cannot be run.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawn(
        argv[0],
        list(argv),
        dict(env),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    return mark_of(pid)


def mark_of(pid: int) -> ProcessMark:
    """The mark of the process that has this pid now. Raises `FileNotFoundError` or `ProcessLookupError` if none has."""
    # The second field is the program's name in parentheses, which may hold spaces and parentheses of its own.
    behind_name = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return ProcessMark(pid, start_ticks=int(behind_name[_START_FIELD - 3]), boot_id=_boot_id())


def find(mark: ProcessMark) -> psutil.Process | None:
    """The marked process, or `None` if it ended, whatever has its pid now."""
    try:
        process = psutil.Process(mark.pid)
        if mark_of(mark.pid) != mark:
            return None
        return process if process.status() != psutil.STATUS_ZOMBIE else None
    except (*_GONE, FileNotFoundError, ProcessLookupError):
        return None


def members(mark: ProcessMark | None, log: Path) -> tuple[psutil.Process, ...]:
    """All living processes of one part, its leader first if it lives."""
    leader = find(mark) if mark else None
    found: dict[int, psutil.Process] = {}
    if leader is not None:
        found[leader.pid] = leader
        with suppress(*_GONE):
            found.update((child.pid, child) for child in leader.children(recursive=True))
    for process in psutil.process_iter():
        if process.pid not in found and _writes_to(process.pid, log):
            found[process.pid] = process
    return tuple(process for process in found.values() if _lives(process))


def stop(processes: Iterable[psutil.Process], mark: ProcessMark | None, log: Path, *, grace_seconds: float) -> Stopped:
    """End the part: SIGTERM to the leader, then to what it left, then SIGKILL. Raises `StopFailed`."""
    present = list(processes)
    everyone = {process.pid for process in present}
    leaders = [process for process in present if mark and process.pid == mark.pid]
    # A leader ends its children in order; signalling them too would make it report them as crashed.
    _signal(leaders, signal.SIGTERM)
    _await_end(leaders, grace_seconds)
    rest = _join(present, members(mark, log))
    _signal([process for process in rest if process not in leaders], signal.SIGTERM)
    _await_end(rest, min(grace_seconds, 5.0))
    killed: set[int] = set()
    for _ in range(3):  # a process can start another one while it is being killed
        rest = _join(present, members(mark, log))
        if not rest:
            break
        everyone |= {process.pid for process in rest}
        killed |= {process.pid for process in rest}
        _signal(rest, signal.SIGKILL)
        _await_end(rest, 5.0)
    survivors = tuple(process.pid for process in _join(present, members(mark, log)))
    if survivors:
        raise StopFailed(survivors)
    return Stopped(ended=tuple(sorted(everyone - killed)), killed=tuple(sorted(killed)))


def end(mark: ProcessMark, *, grace_seconds: float = 5.0) -> None:
    """End the marked process alone, not its children. Raises `StopFailed`."""
    process = find(mark)
    if process is None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        _signal([process], number)
        if _await_end([process], grace_seconds):
            return
    raise StopFailed((mark.pid,))


def exit_code(mark: ProcessMark) -> int | None:
    """The code that our child ended with, negative for a signal; `None` if it runs or is no child of ours."""
    try:
        pid, status = os.waitpid(mark.pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if pid else None


def resident_bytes(processes: Iterable[psutil.Process]) -> int:
    """Memory that the processes hold, shared pages counted once for each."""
    total = 0
    for process in processes:
        try:
            total += int(process.memory_info().rss)
        except _GONE:
            continue
    return total


def _boot_id() -> str:
    """Empty where a sandbox has no such file: there the ticks alone decide."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""


def _join(known: Iterable[psutil.Process], found: Iterable[psutil.Process]) -> list[psutil.Process]:
    return [process for process in {*known, *found} if _lives(process)]


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)  # psutil compares the start time first
        except _GONE:
            continue


def _await_end(processes: Sequence[psutil.Process], seconds: float) -> bool:
    """Whether all have ended within `seconds`."""
    ended = until(lambda: all(map(_has_ended, processes)), seconds=seconds, pause_seconds=_POLL_SECONDS)
    psutil.wait_procs(processes, timeout=0)  # those that are children of ours leave no zombie
    return ended


def _has_ended(process: psutil.Process) -> bool:
    """Also one that its parent has not asked for yet, a zombie, which psutil's own wait takes for one that goes on.

    Its threads have ended, too: until then it may hold its ports.
    """
    try:
        is_zombie = process.is_running() and process.status() == psutil.STATUS_ZOMBIE
        return len(os.listdir(f"/proc/{process.pid}/task")) == 1 if is_zombie else not process.is_running()
    except (*_GONE, FileNotFoundError):
        return True


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except _GONE:
        return False


def _writes_to(pid: int, log: Path) -> bool:
    for descriptor in (1, 2):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{descriptor}")
        except OSError:  # it ended, or belongs to someone else
            return False
        if target.removesuffix(" (deleted)") == str(log):
            return True
    return False
