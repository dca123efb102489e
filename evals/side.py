"""What `--base` and `--head` of a gate name: a knowledge folder, a commit of the base, or the folder in Git.

One name can be read in several ways. The order is fixed: a path of a folder that exists is that folder; else it is a
revision of the assistant's knowledge base; else one of the Git repository that the knowledge folder lies in.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evals.errors import SideNotFound
from evals.git_folder import git_commit, git_items, in_repository
from kb.errors import CommitNotFound
from kb.folder import import_folder
from kb.items import Item
from kb.knowledge_base import KnowledgeBase


@dataclass(frozen=True, slots=True)
class CommitSide:
    """`commit` is the full id of a commit of the base."""

    base: KnowledgeBase
    name: str
    commit: str

    def items(self) -> list[Item]:
        return list(self.base.snapshot(self.commit).items.values())

    def __str__(self) -> str:
        return f"{self.name}, commit {self.commit[:12]} of '{self.base.name}'"


@dataclass(frozen=True, slots=True)
class FolderSide:
    folder: Path

    def items(self) -> list[Item]:
        """Raises `FolderInvalid`."""
        return import_folder(self.folder)

    def __str__(self) -> str:
        return f"folder {self.folder}"


@dataclass(frozen=True, slots=True)
class GitSide:
    """`folder` at `commit`, which `name` names in its repository."""

    folder: Path
    name: str
    commit: str

    def items(self) -> list[Item]:
        """Raises `FolderInvalid`, `GitFailed`."""
        return git_items(self.folder, self.name, self.commit)

    def __str__(self) -> str:
        return f"folder {self.folder} at {self.name}, Git commit {self.commit[:12]}"


Side = CommitSide | FolderSide | GitSide


def is_folder(name: str) -> bool:
    """An empty name, as of a variable that is not set, is none; `Path` would take it for the working folder."""
    return bool(name.strip()) and Path(name).is_dir()


def find_side(name: str, base: KnowledgeBase | None, folder: Path) -> Side:
    """`base` is `None` where the assistant's is not there yet. `folder` is what a Git revision is read from.

    Raises `SideNotFound`, `AmbiguousCommit`, `GitFailed`.
    """
    if is_folder(name):
        return FolderSide(Path(name))
    if base is not None:
        try:
            return CommitSide(base, name, base.resolve(name).id)
        except CommitNotFound:
            pass
    commit = git_commit(folder, name)
    if commit is None:
        raise SideNotFound(name, base.name if base else None, str(folder), in_git=in_repository(folder))
    return GitSide(folder, name, commit)
