"""The parent's side of the SQL workers: one worker process, and the small pool that reuses them."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from gateway.sql_wire import LENGTH, Frame, decode_body, encode_frame

_READ_BYTES = 1 << 16
# What libpq, the dynamic loader and the time zone need; the gateway's keys and tokens stay out of the worker.
_PASSED_ON = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONPATH")
_PASSED_ON_PREFIXES = ("LC_", "PG", "SSL_CERT_", "KRB5")


class WorkerTimeout(Exception):
    """No reply in time; the worker was killed."""


class WorkerEnded(Exception):
    """The worker ended without a reply. `returncode` is negative where a signal ended it."""

    def __init__(self, returncode: int, last_line: str) -> None:
        self.returncode, self.last_line = returncode, last_line
        super().__init__(f"worker ended with {returncode}: {last_line or 'no message'}")


class PoolClosed(Exception):
    pass


class PoolBusy(Exception):
    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(f"all {size} workers are busy")


class SqlProcess:
    """One worker. Not thread-safe: the pool lends it to one caller at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "gateway.sql_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(),
            # Ctrl-C in the gateway's terminal is the gateway's to handle.
            start_new_session=True,
        )
        self.reusable = True

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self.reusable and self._process.poll() is None

    def call(self, request: Frame, timeout_seconds: float) -> Frame:
        """One request, one reply. Raises WorkerTimeout, WorkerEnded; the worker is then gone."""
        deadline = time.monotonic() + timeout_seconds
        stdin, stdout = _pipe(self._process.stdin), _pipe(self._process.stdout)
        try:
            stdin.write(encode_frame(request))
            stdin.flush()
            (size,) = LENGTH.unpack(_read_exactly(stdout.fileno(), LENGTH.size, deadline))
            reply = decode_body(_read_exactly(stdout.fileno(), size, deadline))
        except TimeoutError as exc:
            self.kill()
            raise WorkerTimeout from exc
        except (EOFError, BrokenPipeError) as exc:
            raise self._ended() from exc
        if reply.get("failure") == "memory":
            # It is about to end, or holds what it could not use.
            self.reusable = False
        return reply

    def kill(self) -> None:
        """Ends the worker and waits for it. The pipes stay readable for a call that another thread is in."""
        self.reusable = False
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            # Closing flushes what a dead worker can no longer take.
            with suppress(BrokenPipeError):
                _pipe(pipe).close()

    def _ended(self) -> WorkerEnded:
        self.reusable = False
        try:
            returncode = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            self.kill()
            returncode = self._process.returncode
        lines = _pipe(self._process.stderr).read().decode("utf-8", "replace").strip().splitlines()
        return WorkerEnded(returncode, lines[-1][:300] if lines else "")


class SqlProcessPool:
    """Up to `size` workers, started when needed, reused while they live. Thread-safe."""

    def __init__(self, start: Callable[[], SqlProcess], size: int) -> None:
        self._start, self._size = start, size
        self._changed = threading.Condition()
        self._idle: list[SqlProcess] = []
        self._lent: set[SqlProcess] = set()
        self._starting = 0
        self._closed = False

    @contextmanager
    def lease(self, timeout_seconds: float) -> Iterator[SqlProcess]:
        """Lends a worker, alone. Raises PoolBusy where none is free in time, PoolClosed, and what `start` raises."""
        process = self._take(timeout_seconds)
        try:
            yield process
        finally:
            self._put_back(process)

    def close(self) -> None:
        """Ends every worker; a caller that has one gets WorkerEnded."""
        with self._changed:
            self._closed = True
            idle, self._idle = self._idle, []
            for process in self._lent:
                process.kill()
            self._changed.notify_all()
        for process in idle:
            process.close()

    def _take(self, timeout_seconds: float) -> SqlProcess:
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            while True:
                if self._closed:
                    raise PoolClosed
                while self._idle:
                    process = self._idle.pop()
                    if process.alive:
                        self._lent.add(process)
                        return process
                    process.close()
                if len(self._lent) + self._starting < self._size:
                    self._starting += 1
                    break
                if not self._changed.wait(deadline - time.monotonic()):
                    raise PoolBusy(self._size)
        return self._start_one()

    def _start_one(self) -> SqlProcess:
        process: SqlProcess | None = None
        try:
            process = self._start()
        finally:
            with self._changed:
                self._starting -= 1
                closed = self._closed
                if process is not None and not closed:
                    self._lent.add(process)
                self._changed.notify()
        if closed:
            process.close()
            raise PoolClosed
        return process

    def _put_back(self, process: SqlProcess) -> None:
        with self._changed:
            self._lent.discard(process)
            keep = process.alive and not self._closed
            if keep:
                self._idle.append(process)
            self._changed.notify()
        if not keep:
            process.close()


def _environment() -> dict[str, str]:
    passed = {
        name: value for name, value in os.environ.items() if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }
    # Each further malloc arena reserves 64 MB of the address space that the worker is limited to.
    passed["MALLOC_ARENA_MAX"] = "1"
    root = Path(__file__).resolve().parents[1]
    installed = {Path(sysconfig.get_path(kind)).resolve() for kind in ("purelib", "platlib")}
    if root not in installed:
        passed["PYTHONPATH"] = os.pathsep.join(filter(None, (str(root), passed.get("PYTHONPATH"))))
    return passed


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None, "the worker was started with pipes"
    return pipe


def _read_exactly(descriptor: int, size: int, deadline: float) -> bytes:
    """Raises EOFError where the pipe ends first, TimeoutError at the deadline (of time.monotonic)."""
    chunks: list[bytes] = []
    poll = select.poll()
    poll.register(descriptor, select.POLLIN | select.POLLHUP)
    while size > 0:
        milliseconds = max(0.0, deadline - time.monotonic()) * 1000
        if not poll.poll(milliseconds):
            raise TimeoutError
        chunk = os.read(descriptor, min(size, _READ_BYTES))
        if not chunk:
            raise EOFError
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)
