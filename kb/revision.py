"""Revisions: how a commit is named, as in Git. `main`, a tag, the first digits of an id, then any `~2` or `^`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kb.errors import AmbiguousCommit, CommitNotFound
from kb.objects import Commit, intact, unpack_commit
from kb.ref_names import COMMIT_DIGITS, FULL_DIGITS, MAIN
from kb.store import FIND_MAX

if TYPE_CHECKING:
    from kb.knowledge_base import KnowledgeBase

_COMMIT = b"kvasir commit 1\n"
_REVISION = re.compile(r"(?P<name>.+?)(?P<steps>(~\d{0,9}|\^)*)\Z")


def resolve(base: KnowledgeBase, revision: str) -> Commit:
    """Raises `CommitNotFound`, `AmbiguousCommit`."""
    match = _REVISION.match(revision)
    if not match:
        raise CommitNotFound(base.name, revision)
    commit = _named(base, match["name"])
    for step in re.findall(r"~\d*|\^", match["steps"]):
        for _ in range(int(step[1:] or 1)):
            if commit.parent is None:
                raise CommitNotFound(base.name, revision)
            commit = base.commit_at(commit.parent)
    return commit


def id_named_by(base: KnowledgeBase, revision: str) -> str | None:
    """The id that a branch, a tag or a full id names, which is not looked for; `None` for any other revision."""
    if _is_full_id(revision):
        return revision
    return _referred(base, revision)


def _is_full_id(name: str) -> bool:
    """Then no ref may have that name, and nothing else begins with it."""
    return len(name) == FULL_DIGITS and COMMIT_DIGITS.match(name) is not None


def _referred(base: KnowledgeBase, name: str) -> str | None:
    refs = base.store.refs(base.id)
    wanted = MAIN if name == "HEAD" else name
    return refs.get(f"heads/{wanted}") or refs.get(f"tags/{wanted}")


def _named(base: KnowledgeBase, name: str) -> Commit:
    if _is_full_id(name):
        return _commit_of(base, name)
    referred = _referred(base, name)
    if referred is not None:
        return base.commit_at(referred)
    if not COMMIT_DIGITS.match(name):
        raise CommitNotFound(base.name, name)
    found = base.store.find(base.id, name)
    objects = base.store.read(base.id, found)
    commits = [key for key in found if objects[key].startswith(_COMMIT)]
    if len(commits) > 1 or len(found) == FIND_MAX:
        # Where there are more objects of that beginning than were found, there may be more commits too.
        raise AmbiguousCommit(base.name, name, commits or found)
    if not commits:
        raise CommitNotFound(base.name, name)
    return base.commit_at(commits[0])


def _commit_of(base: KnowledgeBase, commit_id: str) -> Commit:
    data = base.store.read(base.id, [commit_id]).get(commit_id)
    if data is None or not data.startswith(_COMMIT):
        raise CommitNotFound(base.name, commit_id)
    return unpack_commit(base.name, commit_id, intact(base.name, commit_id, data))
