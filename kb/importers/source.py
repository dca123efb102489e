"""Files that nobody has checked: read whole, within limits, and never from outside what was named."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

from kb.importers.errors import SourceInvalid

MAX_BYTES = 128 * 1024 * 1024
"""A manifest of a large dbt project has some tens of MB."""
MAX_FILES = 10_000


def read_text(path: Path) -> str:
    """The text of a regular file, without a byte order mark.

    Raises `SourceInvalid` for a file that is missing, too large, not UTF-8, or holds a NUL.
    """
    try:
        # Opening a pipe or a device would wait for ever.
        if not path.is_file():
            raise SourceInvalid(str(path), "is a folder" if path.is_dir() else "is no file; check the path")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    if len(data) > MAX_BYTES:
        raise SourceInvalid(str(path), f"is larger than {MAX_BYTES >> 20} MB; split it")
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise SourceInvalid(str(path), "holds a NUL byte, so it is no UTF-8 text; save it as UTF-8", line=line)
    try:
        return data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as exc:
        line = exc.object.count(b"\n", 0, exc.start) + 1
        problem = f"is not UTF-8 (byte 0x{exc.object[exc.start]:02x}); save it as UTF-8"
        raise SourceInvalid(str(path), problem, line=line) from exc


def files_below(root: Path, folder: str, suffix: str) -> list[Path]:
    """The files `root/folder/*suffix`, by name; none where the folder is not there.

    Raises `SourceInvalid` for a link that leads out of `root`: the file's text would go into prompts.
    """
    try:
        inner = root / folder
        return list(_inside(root, sorted(inner.glob(f"*{suffix}")))) if inner.is_dir() else []
    except OSError as exc:
        raise _unreadable(root, exc) from exc


def within(root: Path, path: Path) -> Path | None:
    """`path` where it is a file below `root`; `None` where there is none."""
    try:
        return next(_inside(root, [path])) if path.is_file() else None
    except OSError as exc:
        raise _unreadable(path, exc) from exc


def _inside(root: Path, paths: list[Path]) -> Iterator[Path]:
    if len(paths) > MAX_FILES:
        raise SourceInvalid(str(root), f"holds more than {MAX_FILES} files of a kind; import parts of it")
    whole = root.resolve()
    for path in paths:
        if not path.resolve().is_relative_to(whole):
            raise SourceInvalid(str(path), f"is a link that leads out of {root}; put the file itself there")
        if not path.name.startswith("."):
            yield path


def _unreadable(path: Path, exc: OSError) -> SourceInvalid:
    return SourceInvalid(str(exc.filename or path), f"cannot be read: {exc.strerror or exc}")
