"""Bandwidths of the media themselves: what no engine can be faster than."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

_BYTES = 128 * 2**20
_BLOCK_BYTES = 8 * 2**20
_REPEATS = 3


@dataclass(frozen=True)
class Bandwidth:
    """Bytes a second."""

    read: float
    write: float


def memory_bandwidth() -> Bandwidth:
    """Of a copy within memory, which reads and writes at once."""
    source = np.ones(_BYTES, dtype=np.uint8)
    target = np.empty_like(source)
    np.copyto(target, source)  # touches every page, so that the timed copies do not fault
    rate = _rate(lambda: np.copyto(target, source))
    return Bandwidth(read=rate, write=rate)


def disk_bandwidth(folder: Path) -> Bandwidth:
    """Of one large file in `folder`: written until it is on the medium, and read with the page cache dropped."""
    path = folder / f"bandwidth.{os.getpid()}.tmp"
    block = os.urandom(_BLOCK_BYTES)

    def write() -> None:
        with path.open("wb") as file:
            for _ in range(_BYTES // _BLOCK_BYTES):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())

    def read() -> None:
        with path.open("rb", buffering=0) as file:
            while file.read(_BLOCK_BYTES):
                pass

    try:
        written = _rate(write)
        return Bandwidth(read=_rate(read, before=lambda: drop_page_cache(path)), write=written)
    finally:
        path.unlink(missing_ok=True)


def drop_page_cache(path: Path) -> None:
    """Have the next read of the file come from the medium. Needs no rights; dirty pages are written first."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def drop_page_caches(folder: Path) -> None:
    """The same of all that LMCache keeps in `folder`."""
    for path in folder.glob("*.data"):
        with suppress(FileNotFoundError):
            drop_page_cache(path)


def _rate(act: Callable[[], object], *, before: Callable[[], object] = lambda: None) -> float:
    seconds: list[float] = []
    for _ in range(_REPEATS):
        before()
        begun = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - begun)
    return _BYTES / median(seconds)
