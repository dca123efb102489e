"""Starts a part of the pair again when it died. `up` leaves this process behind, and `down` ends it.

It holds nothing that the parts need: killed, it is missed only when the next part dies, and `status` says that it is
gone. What it did is in `state.json` and in `logs/supervisor.log`. A part that lives but does not answer is left alone:
that may be a long computation, and is for a person to judge.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from backend import processes
from backend.back_off import BackOff, Restarts
from backend.errors import LaunchBusy, LaunchError, PartFailed, StopFailed
from backend.launch_state import PART_NAMES, PartState, exclusive, read_state, supervisor_log, write_state
from backend.part_process import Progress, end_processes, start_part

_LOOK_SECONDS = 1.0
# Not by PYTHONPATH, which the parts would inherit: they have packages of their own.
_BEGIN = "import sys; sys.path.insert(0, sys.argv.pop(1)); from backend.supervisor import main; main()"


def leave_supervisor(state_dir: Path) -> None:
    """Start one for the parts of `state_dir`. The caller holds the lock."""
    argv = (sys.executable, "-P", "-c", _BEGIN, str(Path(__file__).parents[1]), str(state_dir))
    mark = processes.spawn(argv, os.environ, supervisor_log(state_dir))
    write_state(state_dir, replace(read_state(state_dir), supervisor=mark))


def end_supervisor(state_dir: Path) -> None:
    """End the one that is recorded, and nothing that it started. Without the lock, which it may hold for minutes."""
    mark = read_state(state_dir).supervisor
    if mark is not None:
        processes.end(mark)


class Supervisor:
    """One look after another at the parts of `state_dir`. `now` gives seconds since the epoch."""

    def __init__(
        self, state_dir: Path, say: Progress, back_off: BackOff | None = None, now: Callable[[], float] = time.time
    ) -> None:
        self._state_dir = state_dir
        self._say = say
        self._back_off = back_off or BackOff()
        self._now = now

    def tend(self) -> None:
        """Start what died and whose wait is over. The caller holds the lock.

        The engine comes after the cache, since it does not start without it.
        """
        for name in PART_NAMES:
            part = read_state(self._state_dir).part(name)
            if part is not None and not self._is_up(part):
                return

    def _is_up(self, part: PartState) -> bool:
        restarts = part.restarts
        if part.process is not None and processes.find(part.process) is not None:
            if restarts.in_a_row and self._now() - (restarts.last_at or 0.0) > self._back_off.settled_seconds:
                self._keep(part, replace(restarts, in_a_row=0))
            return True
        if restarts.given_up or part.stopping:
            return False
        if restarts.next_at is None:
            self._plan_restart(part, self._how_it_ended(part))
            return False
        return self._now() >= restarts.next_at and self._restart(part)

    def _plan_restart(self, part: PartState, problem: str) -> None:
        restarts = replace(part.restarts, problem=problem)
        if restarts.in_a_row >= self._back_off.most:
            self._say(f"{part.name}: {problem}; given up after {restarts.in_a_row} restarts in a row")
            self._keep(part, replace(restarts, next_at=None, given_up=True))
            return
        wait = self._back_off.wait_seconds(restarts.in_a_row)
        self._say(f"{part.name}: {problem}; starting it again in {wait:g} s")
        self._keep(part, replace(restarts, next_at=self._now() + wait))

    def _restart(self, part: PartState) -> bool:
        before = part.restarts
        count = Restarts(before.in_a_row + 1, before.total + 1, last_at=self._now(), problem=before.problem)
        part = replace(part, restarts=count)
        options = read_state(self._state_dir).options
        assert part.part is not None
        assert options is not None
        try:
            end_processes(part)  # children that outlived it
            start_part(part.part, self._state_dir, options.ready_seconds, self._say, again=part)
        except LaunchError as exc:
            reason = exc.reason if isinstance(exc, PartFailed) else str(exc)
            started = read_state(self._state_dir).part(part.name) or part
            with suppress(StopFailed):  # the next try ends it first
                end_processes(started)
            self._plan_restart(replace(started, process=None, restarts=count), reason)
            return False
        return True

    def _how_it_ended(self, part: PartState) -> str:
        code = processes.exit_code(part.process) if part.process else None
        return "ended" if code is None else f"ended with exit code {code}"

    def _keep(self, part: PartState, restarts: Restarts) -> None:
        write_state(self._state_dir, read_state(self._state_dir).with_part(replace(part, restarts=restarts)))


def main() -> None:
    """Look every second, until `state.json` names another supervisor or none."""
    state_dir = Path(sys.argv[1])
    supervisor = Supervisor(state_dir, _say)
    _say(f"supervising {state_dir} (pid {os.getpid()})")
    while (state_dir / "state.json").exists():
        try:
            with exclusive(state_dir):
                if not _is_recorded(state_dir):
                    break
                supervisor.tend()
        except LaunchBusy:
            pass  # an up or a down is at work; it writes who supervises when it is done
        time.sleep(_LOOK_SECONDS)
    _say("not needed any more")


def _is_recorded(state_dir: Path) -> bool:
    mark = read_state(state_dir).supervisor
    return mark is not None and mark.pid == os.getpid() and processes.find(mark) is not None


def _say(message: str) -> None:
    sys.stdout.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {message}\n")
    sys.stdout.flush()
