"""What can go wrong with a simulation, as a tree.

BackendError
└── SimulationError
    ├── TraceInvalid         a line of a trace is not what it should be; carries `path` and `line`
    └── SimulationOptionInvalid   an option cannot work; carries `option`
"""

from __future__ import annotations

from pathlib import Path

from backend.errors import BackendError


class SimulationError(BackendError):
    """Base of what a simulation raises."""


class TraceInvalid(SimulationError):
    """Line `line` of the trace `path`, counted from 1, cannot be read; 0 where it is the whole file."""

    def __init__(self, path: Path, line: int, problem: str) -> None:
        self.path, self.line = path, line
        where = f"trace '{path}', line {line}" if line else f"trace '{path}'"
        super().__init__(f"{where}: {problem}")


class SimulationOptionInvalid(SimulationError):
    """The option `option` cannot work."""

    def __init__(self, option: str, problem: str) -> None:
        self.option = option
        super().__init__(f"{option}: {problem}")
