"""Cherry-pick: one commit's changes made again on a branch, by a three-way merge with the commit's parent as base."""

from __future__ import annotations

from kb.errors import BranchNotFound, NothingToCommit, RefMoved
from kb.knowledge_base import MAIN, KnowledgeBase
from kb.merge import Resolutions, three_way, tree_of
from kb.objects import Commit


def cherry_pick(
    base: KnowledgeBase,
    revision: str,
    *,
    branch: str = MAIN,
    author: str,
    resolutions: Resolutions | None = None,
    onto: str | None = None,
) -> Commit:
    """Commit on a branch what a commit changed; `evidence` names the source. Of a merge, what it changed on its first
    parent.

    `resolutions` and `onto` are as in `merge`. Raises `MergeConflicts`, `NotInConflict`, `BranchNotFound`, and
    `NothingToCommit` where the branch has the changes already.
    """
    source = base.resolve(revision)
    if source.parent is None:
        raise NothingToCommit(base.name, branch)
    parent = base.commit_at(source.parent)
    before = tree_of(base, parent)
    while True:
        ours = base.head(branch)
        picked = three_way(base, before, ours, source, resolutions or {}, picked=True)
        picked.refuse("cherry-pick", branch, onto)
        # The source's own evidence stays with it: a proposal's replay was not made on this branch.
        evidence = {"cherry_picks": source.id, **picked.evidence}
        try:
            return base.commit_on(
                (ours.id,),
                picked.changes,
                author=author,
                message=source.message,
                branch=branch,
                evidence=evidence,
                known=parent.id,
                reach=base.reach(source) if source.reach != parent.reach else None,
            )
        except RefMoved as moved:
            if moved.found is None:
                raise BranchNotFound(base.name, branch) from moved
