"""The processes of the benchmark, each bound to the cores that it is given, and ended with the block."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from backend.health import wait_until_healthy
from evals.bench.errors import ServerDidNotStart

START_SECONDS = 120.0
GRACE_SECONDS = 10.0
_TAIL_CHARACTERS = 1000
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Cores:
    """`measured` is for the one process that is measured; `others` are for the engine and the requests."""

    measured: int
    others: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Server:
    name: str
    url: str
    pid: int

    def resident_mib(self) -> float:
        """Memory of the process and of what it started."""
        process = psutil.Process(self.pid)
        return sum(int(one.memory_info().rss) for one in (process, *process.children(recursive=True))) / _MIB


@contextmanager
def bound_to(cores: Sequence[int]) -> Iterator[None]:
    """This process on these cores, and what it starts meanwhile; afterwards on those that it had."""
    had = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, had)


@contextmanager
def running(
    name: str,
    command: Sequence[str],
    cores: Sequence[int],
    folder: Path,
    *,
    health: str,
    environment: Mapping[str, str | None],
) -> Iterator[Server]:
    """A server; `{port}` in its command is a free port, `health` the path that answers once it is ready.

    A variable that `environment` has as `None` is taken away.

    Raises `ServerDidNotStart` with the end of its log, which is in `folder`.
    """
    port = _free_port()
    log = folder / f"{name.replace(' ', '-')}.log"
    with open(log, "wb") as output, bound_to(cores):
        process = subprocess.Popen(
            [part.replace("{port}", str(port)) for part in command],
            env={key: value for key, value in {**os.environ, **environment}.items() if value is not None},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        if not wait_until_healthy(
            f"{url}{health}",
            lambda: process.poll() is not None,
            timeout_seconds=START_SECONDS,
            on_wait=lambda _seconds: None,
        ):
            raise ServerDidNotStart(name, log.read_text("utf-8", "replace").strip()[-_TAIL_CHARACTERS:])
        yield Server(name, url, process.pid)
    finally:
        _end(process)


def python_module(module: str) -> list[str]:
    """The command of one of the benchmark's own servers."""
    return [sys.executable, "-m", module, "{port}"]


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        everyone = [*psutil.Process(process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        everyone = []
    process.terminate()
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in everyone:
        if child.is_running():
            child.kill()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
