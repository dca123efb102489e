"""A folder as a Git repository has it at a revision: read from its objects, so that no file of the checkout changes.

By `ls-tree` and `cat-file`, not `archive`: these give every file to the byte, whatever `.gitattributes` says.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from evals.errors import GitFailed
from kb.errors import FolderInvalid
from kb.folder import import_folder
from kb.items import Item


def git_commit(folder: Path, revision: str) -> str | None:
    """The commit that a revision names in the repository that `folder` lies in; `None` where there is none of either.

    Raises `GitFailed` where Git cannot say.
    """
    if not revision.strip() or not in_repository(folder):
        return None
    command = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    done = _run(folder, *command)
    if done.returncode == 1:
        return None
    return _checked(folder, command, done).decode().strip()


def in_repository(folder: Path) -> bool:
    command = ("rev-parse", "--show-prefix")
    done = _run(folder, *command)
    if done.returncode and b"not a git repository" in done.stderr:
        return False
    _checked(folder, command, done)
    return True


def git_items(folder: Path, revision: str, commit: str) -> list[Item]:
    """The items of a knowledge folder at `commit`, which `revision` named.

    Raises `FolderInvalid`, whose file is `REVISION:PATH` as `git show` takes it, and `GitFailed`.
    """
    prefix = _git(folder, "rev-parse", "--show-prefix").decode().strip()
    with TemporaryDirectory(prefix="kvasir-gate-") as temporary:
        _extract(folder, commit, Path(temporary))
        try:
            return import_folder(Path(temporary))
        except FolderInvalid as exc:

            def named(text: str) -> str:
                inner = text.replace(f"{temporary}/", f"{revision}:{prefix}")
                return inner.replace(temporary, f"{revision}:{prefix or './'}")

            raise FolderInvalid(named(exc.file), exc.line, exc.field, named(exc.problem)) from exc


def _extract(folder: Path, commit: str, target: Path) -> None:
    """Write what an import looks at: Markdown files below a folder that is not hidden."""
    blobs: dict[PurePosixPath, str] = {}
    for entry in _git(folder, "ls-tree", "-r", "-z", commit).split(b"\0"):
        head, _, name = entry.partition(b"\t")
        path = PurePosixPath(os.fsdecode(name))
        hidden = any(part.startswith(".") for part in path.parts)
        if head and head.split()[1] == b"blob" and path.suffix == ".md" and len(path.parts) > 1 and not hidden:
            blobs[path] = head.split()[2].decode()
    contents = _contents(folder, list(blobs.values()))
    for path, content in zip(blobs, contents, strict=True):
        file = target / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def _contents(folder: Path, blobs: list[str]) -> list[bytes]:
    command = ("cat-file", "--batch")
    told = _git(folder, *command, stdin="".join(f"{blob}\n" for blob in blobs).encode())
    contents: list[bytes] = []
    at = 0
    for blob in blobs:
        header_end = told.index(b"\n", at)
        header = told[at:header_end].split()
        if len(header) != 3:
            raise GitFailed(str(folder), command, f"object {blob} is missing; look at the repository with 'git fsck'")
        size = int(header[2])
        contents.append(told[header_end + 1 : header_end + 1 + size])
        at = header_end + size + 2
    return contents


def _git(folder: Path, *arguments: str, stdin: bytes | None = None) -> bytes:
    return _checked(folder, arguments, _run(folder, *arguments, stdin=stdin))


def _run(folder: Path, *arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    # In English, since one of its messages is read.
    environment = {**os.environ, "LC_ALL": "C"}
    command = ["git", "-C", str(folder), *arguments]
    try:
        return subprocess.run(command, input=stdin or b"", capture_output=True, check=False, env=environment)
    except OSError as exc:
        raise GitFailed(str(folder), arguments, f"git cannot be started ({exc.strerror}); install it") from exc


def _checked(folder: Path, arguments: tuple[str, ...], done: subprocess.CompletedProcess[bytes]) -> bytes:
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise GitFailed(str(folder), arguments, said[0] if said else f"it ended with {done.returncode}")
    return done.stdout
