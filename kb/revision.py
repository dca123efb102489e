"""Revisions: how a commit is named, as in Git. `main`, a tag, the first digits of an id, then any `~2` or `^`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kb.errors import AmbiguousCommit, CommitNotFound
from kb.objects import Commit
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


def _named(base: KnowledgeBase, name: str) -> Commit:
    if len(name) == FULL_DIGITS and COMMIT_DIGITS.match(name):
        return _commit_of(base, name)  # no ref may have such a name, and nothing else begins with it
    refs = base.store.refs(base.id)
    wanted = MAIN if name == "HEAD" else name
    for ref in (f"heads/{wanted}", f"tags/{wanted}"):
        if ref in refs:
            return base.commit_at(refs[ref])
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
    return base.commit_at(commit_id)
