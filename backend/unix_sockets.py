"""Unix sockets in the file system, which outlive whoever listened there: vLLM leaves several at each end."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_TABLE = Path("/proc/net/unix")
_INODE, _PATH = 6, 7  # columns of the table


def sockets_of(pids: Iterable[int]) -> frozenset[Path]:
    """Where the processes listen now."""
    opened = {inode for pid in pids for inode in _inodes(pid)}
    return frozenset(path for inode, path in _bound().items() if inode in opened)


def remove_sockets(candidates: Iterable[Path]) -> None:
    """Delete those of our own sockets at which nobody listens any more."""
    present = set(candidates)
    if present:
        present.difference_update(_bound().values())
    for path in present:
        with suppress(FileNotFoundError):
            if path.is_socket() and path.stat().st_uid == os.getuid():
                path.unlink()


def _bound() -> dict[str, Path]:
    """Paths by inode; a socket without a name, or with an abstract one, has no file."""
    rows = (line.split(maxsplit=_PATH) for line in _TABLE.read_text(encoding="utf-8", errors="replace").splitlines())
    return {row[_INODE]: Path(row[_PATH]) for row in rows if len(row) > _PATH and row[_PATH].startswith("/")}


def _inodes(pid: int) -> set[str]:
    found: set[str] = set()
    with suppress(OSError):  # it ended, or belongs to someone else
        for descriptor in os.scandir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                target = os.readlink(descriptor.path)
                if target.startswith("socket:["):
                    found.add(target.removeprefix("socket:[").removesuffix("]"))
    return found
