"""A knowledge folder: every item a file, `KIND/NAME.md`, so that a base can live in Git and be reviewed there.

Exporting what was imported gives the same bytes, and importing what was exported the same items. Other files may lie
in the folder (a README, `.git`, suites); only `*.md` below the folders named like a kind are items.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kb.errors import FolderInvalid
from kb.item_file import read_item, write_item
from kb.items import KINDS, Item, Kind
from kb.knowledge_base import Changes, Snapshot

_LAYOUT = f"expected are files KIND/NAME.md below it, such as rule/always_utc.md; kinds: {', '.join(KINDS)}"
_ID_LINE = re.compile(r"^id:[ \t]*[\"']?([^\s\"']+)[\"']?[ \t]*\r?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _ItemPath:
    path: Path
    kind: Kind

    @property
    def id(self) -> str:
        return f"{self.kind}:{self.path.name.removesuffix('.md')}"


@dataclass(frozen=True, slots=True)
class Exported:
    """How many items were written, and the files of items that the snapshot does not have."""

    items: int
    others: tuple[Path, ...]


def export_folder(snapshot: Snapshot, folder: Path, *, prune: bool = False) -> Exported:
    """Write the snapshot's items to `folder`; with `prune`, files of other items are removed.

    The folder is made where it is not there. Files that are as they should be are not touched, and files that are no
    items are left alone. Raises `FolderInvalid` before anything is written where the folder holds other things and no
    items, or a file in the place of an item that is none.
    """
    wanted = {Path(item.kind, f"{item.id.partition(':')[2]}.md"): item for item in snapshot.items.values()}
    try:
        others = tuple(at.path for at in _exported(folder) if at.path.relative_to(folder) not in wanted)
        for relative, item in wanted.items():
            _write(folder / relative, write_item(item).encode())
        for path in others if prune else ():
            path.unlink()
            if not any(path.parent.iterdir()):
                path.parent.rmdir()
    except OSError as exc:
        raise _unusable(folder, exc) from exc
    return Exported(len(wanted), others)


def import_folder(folder: Path) -> list[Item]:
    """The folder's items, by id. Raises `FolderInvalid` at the first thing that is wrong; changes nothing."""
    items: list[Item] = []
    try:
        if not folder.is_dir():
            raise FolderInvalid(str(folder), None, None, f"is no folder; {_LAYOUT}")
        paths = {at.id: at for at in _item_paths(folder)}
        for _, at in sorted(paths.items()):
            text = _read(at.path)
            item = read_item(str(at.path), at.kind, text)
            if item.id != at.id:
                raise _misnamed(at, item.id, text, paths.get(item.id))
            items.append(item)
    except OSError as exc:
        raise _unusable(folder, exc) from exc
    if not items:
        raise FolderInvalid(str(folder), None, None, f"holds no items; {_LAYOUT}")
    return items


def changes_from_folder(snapshot: Snapshot, items: Iterable[Item], *, prune: bool) -> Changes:
    """What a commit of `items` changes on the snapshot; with `prune`, its items that are not among them go."""
    by_id = {item.id: item for item in items}
    put = tuple(item for key, item in sorted(by_id.items()) if snapshot.items.get(key) != item)
    return Changes(put, tuple(sorted(snapshot.items.keys() - by_id.keys())) if prune else ())


def _item_paths(folder: Path) -> Iterator[_ItemPath]:
    for inner in sorted(folder.iterdir()):
        if not inner.is_dir() or inner.name.startswith("."):
            continue
        kind = next((kind for kind in KINDS if kind == inner.name), None)
        if kind is None:
            # A folder of another name is someone's own, unless it looks like a slip of the pen.
            meant = difflib.get_close_matches(inner.name.lower(), KINDS, n=1, cutoff=0.8)
            if meant and any(inner.glob("*.md")):
                raise FolderInvalid(str(inner), None, None, f"is no kind; rename the folder to '{meant[0]}'")
            continue
        for path in sorted(inner.iterdir()):
            if path.name.startswith("."):
                continue
            if path.is_dir():
                problem = f"a folder in place of an item; items lie directly in {inner}"
                raise FolderInvalid(str(path), None, None, problem)
            if path.suffix == ".md":
                yield _ItemPath(path, kind)


def _exported(folder: Path) -> list[_ItemPath]:
    """The item files of a folder that may be written to."""
    if folder.exists() and not folder.is_dir():
        raise FolderInvalid(str(folder), None, None, "is a file; give a new or an empty folder")
    if not folder.exists() or all(inner.name.startswith(".") for inner in folder.iterdir()):
        return []
    paths = list(_item_paths(folder))
    if not paths:
        problem = "is neither empty nor a knowledge folder; give a new or an empty folder"
        raise FolderInvalid(str(folder), None, None, problem)
    for at in paths:
        if at.id not in _ID_LINE.findall(_read(at.path)):
            problem = f"is in the place of an item but has no line 'id: {at.id}'; move it elsewhere, then export"
            raise FolderInvalid(str(at.path), None, "id", problem)
    return paths


def _misnamed(at: _ItemPath, item_id: str, text: str, twin: _ItemPath | None) -> FolderInvalid:
    if twin:
        problem = f"two files hold item '{item_id}': {twin.path} is the other; remove one or change its id"
    else:
        name = f"{item_id.partition(':')[2]}.md"
        problem = f"item '{item_id}' lies in this file; name the file {name} or write id: {at.id}"
    match = _ID_LINE.search(text)
    return FolderInvalid(str(at.path), match and text.count("\n", 0, match.start()) + 1, "id", problem)


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as exc:
        line = exc.object.count(b"\n", 0, exc.start) + 1
        problem = f"is not UTF-8 (byte 0x{exc.object[exc.start]:02x}); save it as UTF-8"
        raise FolderInvalid(str(path), line, None, problem) from exc


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; one that has these bytes already keeps its time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file() and path.read_bytes() == data:
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _unusable(folder: Path, exc: OSError) -> FolderInvalid:
    return FolderInvalid(str(exc.filename or folder), None, None, f"cannot be used: {exc.strerror or exc}")
