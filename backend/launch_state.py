"""What runs, as kept in `state.json` of a backend folder: written before and after every start and stop."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Any, get_args

from backend.back_off import NO_RESTARTS, Restarts
from backend.errors import LaunchBusy, LaunchError, LaunchOptionInvalid
from backend.plan import LaunchOptions, Part, PartName, Port
from backend.processes import ProcessMark

PART_NAMES: tuple[PartName, ...] = get_args(PartName)
_FORMAT = 2


@dataclass(frozen=True)
class PartState:
    """A part that was started. `process` is `None` from just before its start until its pid is known.

    `part` is what was started, so that it can be started again as it was. `stopping` is one whose stop began and did
    not come to its end: what is left of it is for `down`, and no supervisor starts it again.
    """

    name: PartName
    log: Path
    health_url: str
    process: ProcessMark | None = None
    segments: tuple[Path, ...] = ()
    sockets: tuple[Path, ...] = ()
    part: Part | None = None
    restarts: Restarts = NO_RESTARTS
    stopping: bool = False


@dataclass(frozen=True)
class LaunchState:
    """`options` are those of the last start and stay after a stop, so that it can be repeated."""

    options: LaunchOptions | None = None
    served_name: str | None = None
    parts: tuple[PartState, ...] = ()
    supervisor: ProcessMark | None = None

    def part(self, name: PartName) -> PartState | None:
        return next((part for part in self.parts if part.name == name), None)

    def with_part(self, changed: PartState) -> LaunchState:
        others = tuple(part for part in self.parts if part.name != changed.name)
        return replace(self, parts=(*others, changed))

    def without_part(self, name: PartName) -> LaunchState:
        return replace(self, parts=tuple(part for part in self.parts if part.name != name))


def log_path(state_dir: Path, name: PartName) -> Path:
    return state_dir / "logs" / f"{name}.log"


def supervisor_log(state_dir: Path) -> Path:
    return state_dir / "logs" / "supervisor.log"


def read_state(state_dir: Path) -> LaunchState:
    """The state, empty where nothing was ever started. Raises `LaunchError` for a file that is not ours."""
    path = state_dir / "state.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw["format"] != _FORMAT:
            raise LaunchError(
                f"{path} has format {raw['format']}, this release reads {_FORMAT}; "
                "stop the backend with the release that started it, or move the file away if nothing of it runs"
            )
        return _state(raw)
    except (FileNotFoundError, NotADirectoryError):
        return LaunchState()
    except (ValueError, KeyError, TypeError) as exc:
        raise LaunchError(
            f"{path} cannot be read ({exc!r}); move it away, and end what still runs by hand: its logs lie beside it"
        ) from exc


def write_state(state_dir: Path, state: LaunchState) -> None:
    """Replace the file as a whole: a reader, or a crash, sees the old state or the new one."""
    path = state_dir / "state.json"
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    text = json.dumps({"format": _FORMAT, **asdict(state)}, indent=2, default=str)
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def make_folder(folder: Path, option: str) -> None:
    """`option` named it. Raises `LaunchOptionInvalid`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        problem = f"'{folder}' cannot be made ({exc.strerror}); name another folder"
        raise LaunchOptionInvalid(option, problem) from exc


@contextmanager
def exclusive(state_dir: Path) -> Iterator[None]:
    """Only one `up` or `down` in a folder at a time. Ends with the process, however it ends.

    Raises `LaunchBusy`, and `LaunchOptionInvalid` where the folder cannot be made.
    """
    make_folder(state_dir, "--home")
    with (state_dir / "lock").open("w") as file:
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError as exc:
            raise LaunchBusy(state_dir) from exc
        yield


def _state(raw: dict[str, Any]) -> LaunchState:
    options, supervisor = raw["options"], raw["supervisor"]
    return LaunchState(
        options=_options(options) if options else None,
        served_name=raw["served_name"],
        parts=tuple(_part_state(part) for part in raw["parts"]),
        supervisor=ProcessMark(**supervisor) if supervisor else None,
    )


def _options(raw: dict[str, Any]) -> LaunchOptions:
    kv_dir = raw["kv_dir"]
    changed = {
        "model": Path(raw["model"]),
        "kv_dir": Path(kv_dir) if kv_dir else None,
        "engine_args": tuple(raw["engine_args"]),
        "tiers": tuple(raw["tiers"]) if raw["tiers"] else None,
    }
    return LaunchOptions(**{**raw, **changed})


def _part_state(raw: dict[str, Any]) -> PartState:
    if raw["name"] not in PART_NAMES:
        raise ValueError(f"unknown part {raw['name']!r}")
    process, part = raw["process"], raw["part"]
    return PartState(
        name=raw["name"],
        log=Path(raw["log"]),
        health_url=raw["health_url"],
        process=ProcessMark(**process) if process else None,
        segments=tuple(Path(path) for path in raw["segments"]),
        sockets=tuple(Path(path) for path in raw["sockets"]),
        part=_part(part) if part else None,
        restarts=Restarts(**raw["restarts"]),
        stopping=raw["stopping"],
    )


def _part(raw: dict[str, Any]) -> Part:
    return Part(**{**raw, "argv": tuple(raw["argv"]), "ports": tuple(Port(**port) for port in raw["ports"])})
