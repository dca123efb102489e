"""A hard cap on what a folder of KV files holds, files of earlier processes included.

LMCache's `fs` adapter declares no capacity, and counts only what it wrote itself since it was started. Here the
folder is read at the start, room is made before a file is written, and what is on its way counts as if it were there.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

UNFINISHED = ".tmp"
"""The end of the names under which LMCache's file adapters write."""


@dataclass(frozen=True)
class KVFile:
    """`written` is false from admission until the adapter reports the file."""

    size_bytes: int
    written: bool


@dataclass(frozen=True)
class Admission:
    """The files (by name) that may be written, after `victims` were deleted."""

    admitted: tuple[str, ...]
    victims: tuple[str, ...]


class DiskCap:
    """The files of `folder`, least recently used first. Not thread-safe: its owner locks.

    Reads the folder when made. Files are named, not their subfolders.
    """

    def __init__(self, folder: Path, cap_bytes: int) -> None:
        self.folder = folder
        self.cap_bytes = cap_bytes
        self._files: OrderedDict[str, KVFile] = OrderedDict()
        self._overdue: set[str] = set()
        self.total_bytes = 0
        self.rescan()

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def __len__(self) -> int:
        return len(self._files)

    def rescan(self) -> int:
        """Take over what is really there. Order: unknown files by age, then ours.

        What is on its way stays; but what was on its way at the last look as well will not come any more. Returns the
        bytes that had been reserved for it.
        """
        found = dict(_scan(self.folder))
        unknown = [name for name in found if name not in self._files]
        coming = {name for name, file in self._files.items() if not file.written and name not in found}
        kept = [(name, file) for name, file in self._files.items() if name in found or name in coming - self._overdue]
        lost = sum(self._files[name].size_bytes for name in coming & self._overdue)
        self._overdue = coming - self._overdue
        self._files.clear()
        for name in unknown:
            self._files[name] = KVFile(found[name], written=True)
        for name, file in kept:
            self._files[name] = KVFile(found[name], written=True) if name in found else file
        self.total_bytes = sum(file.size_bytes for file in self._files.values())
        return lost

    def admit(self, wanted: Sequence[tuple[str, int]]) -> Admission:
        """Reserve room for `wanted` (name, bytes), in order of importance, giving up older files for it.

        A file that is there already is admitted and costs nothing. Nothing admitted in this call gives way to another
        of the same call, so what does not fit is left out. `total_bytes` never passes the cap by what this admits.
        """
        admitted: list[str] = []
        victims: list[str] = []
        spared = {name for name, _ in wanted}
        candidates = iter([name for name in self._settled() if name not in spared])
        for name, size in wanted:
            if name in self._files:
                admitted.append(name)
                continue
            while self.total_bytes + size > self.cap_bytes and (victim := next(candidates, None)) is not None:
                victims.append(victim)
                self.forget(victim)
            if self.total_bytes + size > self.cap_bytes:
                break
            self._files[name] = KVFile(size, written=False)
            self.total_bytes += size
            admitted.append(name)
        return Admission(tuple(admitted), tuple(victims))

    def over(self) -> tuple[str, ...]:
        """The files to delete so that the cap holds, forgotten by this call: none but after a start over the cap."""
        victims: list[str] = []
        for name in self._settled():
            if self.total_bytes <= self.cap_bytes:
                break
            victims.append(name)
            self.forget(name)
        return tuple(victims)

    def written(self, name: str, size_bytes: int) -> bool:
        """The adapter wrote the file: its true size replaces the reserved one. Whether room was reserved for it."""
        before = self._files.pop(name, None)
        self.total_bytes += size_bytes - (before.size_bytes if before else 0)
        self._files[name] = KVFile(size_bytes, written=True)
        return before is not None

    def touch(self, names: Iterable[str]) -> None:
        """The files were used, the first of a prompt's chunks first: heads outlive tails, which are useless alone."""
        for name in reversed([name for name in names if name in self._files]):
            self._files.move_to_end(name)

    def forget(self, name: str) -> None:
        file = self._files.pop(name, None)
        if file is not None:
            self.total_bytes -= file.size_bytes

    def _settled(self) -> list[str]:
        return [name for name, file in self._files.items() if file.written]


def _scan(folder: Path) -> list[tuple[str, int]]:
    """(name, bytes) of the folder's files, least recently used first.

    Half-written files are left out: the name that they will have is counted from its admission on.
    """
    found: list[tuple[float, str, int]] = []
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return []
    for entry in entries:
        try:
            if entry.is_file(follow_symlinks=False) and not entry.name.endswith(UNFINISHED):
                stat = entry.stat(follow_symlinks=False)
                found.append((stat.st_mtime, entry.name, stat.st_size))
        except FileNotFoundError:  # it was deleted meanwhile
            continue
    return [(name, size) for _, name, size in sorted(found)]
