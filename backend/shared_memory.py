"""Shared memory segments under /dev/shm, which outlive a killed process."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import psutil

_FOLDER = Path("/dev/shm")


def segments_of(pids: Iterable[int]) -> frozenset[Path]:
    """Named segments that the processes have mapped now."""
    return frozenset(path for pid in pids for path in _mapped(pid))


def remove_segments(candidates: Iterable[Path]) -> tuple[Path, ...]:
    """Delete those of our own segments that no living process has mapped. Returns what was deleted."""
    present = {path for path in candidates if path.parent == _FOLDER and path.is_file()}
    if not present:
        return ()
    present -= segments_of(psutil.pids())
    removed = []
    for path in sorted(present):
        try:
            if path.stat().st_uid == os.getuid():
                path.unlink()
                removed.append(path)
        except FileNotFoundError:
            continue
    return tuple(removed)


def pool_segment(name: str) -> Path:
    """Where LMCache 0.5 puts the memory of `--shm-name name`."""
    return _FOLDER / f"lmcache_l1_pool_{name}"


def _mapped(pid: int) -> set[Path]:
    try:
        lines = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # it ended, or belongs to someone else
        return set()
    names = (line.partition(f"{_FOLDER}/")[2] for line in lines)
    return {_FOLDER / name for name in names if name and not name.endswith(" (deleted)")}
