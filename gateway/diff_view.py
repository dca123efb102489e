"""What differs between two commits, as it is shown over HTTP and by `--json`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from kb.codec import item_to_dict
from kb.diff import Diff
from kb.knowledge_base import KnowledgeBase
from kb.objects import Commit


def commit_view(base: KnowledgeBase, commit: Commit) -> dict[str, Any]:
    """A commit with what it changed on its first parent; of the first commit of a base that is nothing."""
    changes = diff_view(base.diff(commit.parent, commit.id)) if commit.parent else []
    return {**asdict(commit), "changes": changes}


def diff_view(diff: Diff) -> list[dict[str, Any]]:
    return [
        {
            "id": change.id,
            "change": change.change,
            "fields": [asdict(field) for field in change.fields] if change.change == "changed" else [],
            "old": item_to_dict(change.old) if change.old else None,
            "new": item_to_dict(change.new) if change.new else None,
        }
        for change in diff.changes
    ]
