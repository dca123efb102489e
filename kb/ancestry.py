"""How commits stand to each other, over all parents: a commit that merged has two.

Every function takes `read`, which gives a commit by its id; each commit is read once.
Source of the words: Git's `merge-base` and `merge-base --is-ancestor`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kb.objects import Commit

ReadCommit = Callable[[str], Commit]


def ancestors(commit_id: str, read: ReadCommit) -> Iterator[Commit]:
    """The commit and all that stand behind it, nearest first (by steps), each once."""
    seen, level = {commit_id}, [commit_id]
    while level:
        above: list[str] = []
        for each in level:
            commit = read(each)
            yield commit
            fresh = [parent for parent in commit.parents if parent not in seen]
            seen.update(fresh)
            above.extend(dict.fromkeys(fresh))
        level = above


def is_ancestor(older: str, newer: str, read: ReadCommit) -> bool:
    """Whether `older` is `newer` or stands behind it."""
    if older == newer:
        return True
    return any(older in commit.parents for commit in ancestors(newer, read))


def merge_bases(one: str, other: str, read: ReadCommit) -> tuple[str, ...]:
    """The nearest common ancestors: common ones that stand behind no other common one, sorted by id.

    Histories that were merged into each other may have several.
    """
    if is_ancestor(one, other, read):
        return (one,)
    if is_ancestor(other, one, read):
        return (other,)
    behind = {commit.id: commit for commit in ancestors(one, read)}
    common = {commit.id: commit for commit in ancestors(other, read) if commit.id in behind}
    # All that stands behind a common ancestor is common too, so a parent of one is not among the nearest.
    covered = {parent for commit in common.values() for parent in commit.parents}
    return tuple(sorted(common.keys() - covered))
