"""What can go wrong in the knowledge base, as a tree.

KnowledgeError
├── InvalidItem              an item breaks the rules of its kind; names the item and the field
├── InvalidName              a branch or base name that cannot be used
├── NotFound
│   ├── BaseNotFound
│   ├── BranchNotFound
│   ├── TagNotFound
│   ├── CommitNotFound       no commit, branch or tag of that name
│   ├── ItemNotFound
│   └── FieldNotFound
├── AmbiguousCommit          an abbreviated commit id that fits several
├── AlreadyExists            a base or branch of that name exists
├── NothingToCommit          the change leaves every item as it is
├── Conflict                 the change touches items that changed meanwhile
├── StillLost                an item that is to be used again reads what its schema lost
├── MergeConflicts           both sides of a merge or cherry-pick changed the same; holds them as data
├── NotInConflict            a resolution for what is in no conflict
├── NotADescendant           a fast-forward to a commit that does not stand on the branch's head
├── RefMoved                 a branch was moved by another writer (stores raise it; `KnowledgeBase` retries)
├── ObjectCorrupt            stored bytes do not hash to their name, or are missing
├── FolderInvalid            a knowledge folder cannot be read; names file, line and field
├── IntrospectionFailed      a database cannot be read
├── EmbeddingModelInvalid    the sentence-transformers model cannot be loaded
└── SchemaBehind             the state database needs a migration; names both revisions and the command
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kb.cross_conflicts import AnyConflict
    from kb.items import LostColumn


class KnowledgeError(Exception):
    """Base of all errors of `kb`."""


class InvalidItem(KnowledgeError):
    def __init__(self, item: str, field: str, problem: str) -> None:
        self.item, self.field, self.problem = item, field, problem
        super().__init__(f"item '{item}', field '{field}': {problem}")


class InvalidName(KnowledgeError):
    def __init__(self, what: str, name: str) -> None:
        self.name = name
        super().__init__(
            f"{what} name {name!r} cannot be used; take letters, digits and . _ - (slashes in branches), "
            "1 to 100 characters, starting with a letter or digit"
        )


class NotFound(KnowledgeError):
    pass


class BaseNotFound(NotFound):
    def __init__(self, base: str, known: Sequence[str] = ()) -> None:
        self.base = base
        listed = f" (known: {', '.join(known)})" if known else ""
        super().__init__(
            f"knowledge base '{base}' not found{listed}; "
            f"make one with 'kvasir kb import FOLDER --kb {base}' or 'kvasir kb introspect URL --kb {base}'"
        )


class BranchNotFound(NotFound):
    def __init__(self, base: str, branch: str) -> None:
        self.base, self.branch = base, branch
        super().__init__(
            f"branch '{branch}' not found in '{base}'; create it with 'kvasir kb branch {branch} --kb {base}'"
        )


class TagNotFound(NotFound):
    def __init__(self, base: str, tag: str) -> None:
        self.base, self.tag = base, tag
        super().__init__(f"tag '{tag}' not found in '{base}'; list the tags with 'kvasir kb tag --kb {base}'")


class CommitNotFound(NotFound):
    def __init__(self, base: str, revision: str) -> None:
        self.base, self.revision = base, revision
        super().__init__(
            f"no commit, branch or tag '{revision}' in '{base}'; list commits with 'kvasir kb log --kb {base}'"
        )


class ItemNotFound(NotFound):
    def __init__(self, base: str, item: str, commit: str) -> None:
        self.base, self.item, self.commit = base, item, commit
        super().__init__(
            f"item '{item}' not found in '{base}' at commit {commit[:12]}; "
            f"look for it with 'kvasir kb search WORDS --kb {base}'"
        )


class FieldNotFound(NotFound):
    def __init__(self, item: str, field: str, known: Sequence[str]) -> None:
        self.item, self.field = item, field
        super().__init__(f"item '{item}' has no field '{field}'; it has {', '.join(known)}")


class AmbiguousCommit(KnowledgeError):
    def __init__(self, base: str, prefix: str, matches: Sequence[str]) -> None:
        self.base, self.prefix, self.matches = base, prefix, tuple(matches)
        listed = ", ".join(match[:12] for match in matches[:5])
        super().__init__(f"'{prefix}' fits several commits of '{base}': {listed}; give more digits")


class AlreadyExists(KnowledgeError):
    def __init__(self, what: str, name: str) -> None:
        self.name = name
        super().__init__(f"{what} '{name}' exists already; choose another name")


class NothingToCommit(KnowledgeError):
    def __init__(self, base: str, branch: str) -> None:
        self.base, self.branch = base, branch
        super().__init__(f"nothing to commit: every item on '{branch}' of '{base}' is already as given")


class Conflict(KnowledgeError):
    def __init__(self, base: str, branch: str, items: Sequence[str], doing: str) -> None:
        self.base, self.branch, self.items = base, branch, tuple(items)
        listed = ", ".join(items[:5]) + (" …" if len(items) > 5 else "")
        super().__init__(
            f"cannot {doing} on '{branch}' of '{base}': {listed} changed there meanwhile; "
            f"look with 'kvasir kb log --kb {base}' and make the change again on the new head"
        )


class StillLost(KnowledgeError):
    def __init__(self, base: str, item: str, lost: Sequence[LostColumn]) -> None:
        self.base, self.item, self.lost = base, item, tuple(lost)
        super().__init__(
            f"item '{item}' of '{base}' cannot be activated, it still reads what the schema lost: "
            f"{'; '.join(str(each) for each in self.lost)}. Edit it ('kvasir kb export', 'kvasir kb import'), "
            f"or retire it with 'kvasir kb retire {item} --kb {base}'"
        )


class MergeConflicts(KnowledgeError):
    """`ours` and `theirs` are the ids of the commits that were merged. Nothing was changed."""

    def __init__(
        self, base: str, doing: str, branch: str, ours: str, theirs: str, conflicts: Sequence[AnyConflict]
    ) -> None:
        self.base, self.branch, self.ours, self.theirs = base, branch, ours, theirs
        self.conflicts = tuple(conflicts)
        count = len(self.conflicts)
        listed = "; ".join(conflict.summary for conflict in self.conflicts[:5]) + (" …" if count > 5 else "")
        super().__init__(
            f"cannot {doing} {theirs[:12]} {'into' if doing == 'merge' else 'onto'} '{branch}' of '{base}': {count} "
            f"{'conflict' if count == 1 else 'conflicts'}: {listed}. Nothing was changed; "
            "do it again with a resolution for each: ours, theirs, base, or a whole item"
        )


class NotInConflict(KnowledgeError):
    def __init__(self, key: str, known: Sequence[str]) -> None:
        self.key = key
        listed = f"in conflict are: {', '.join(known)}" if known else "nothing is in conflict"
        super().__init__(f"'{key}' is resolved but in no conflict ({listed}); leave that resolution out")


class NotADescendant(KnowledgeError):
    def __init__(self, base: str, branch: str, head: str, target: str) -> None:
        self.base, self.branch, self.head, self.target = base, branch, head, target
        super().__init__(
            f"'{branch}' of '{base}' cannot be fast-forwarded to {target[:12]}, which does not stand on {head[:12]}; "
            "make the change again on the branch's head"
        )


class RefMoved(KnowledgeError):
    def __init__(self, base: str, ref: str, expected: str | None, found: str | None) -> None:
        self.base, self.ref, self.expected, self.found = base, ref, expected, found
        super().__init__(f"'{ref}' of '{base}' is at {found}, not at {expected}; read it again and retry")


class ObjectCorrupt(KnowledgeError):
    def __init__(self, base: str, object_id: str, problem: str) -> None:
        self.base, self.object_id, self.problem = base, object_id, problem
        super().__init__(
            f"object {object_id} of '{base}' {problem}; restore it from a backup or an export "
            f"('kvasir kb verify --kb {base}' lists all that is broken)"
        )


class FolderInvalid(KnowledgeError):
    def __init__(self, file: str, line: int | None, field: str | None, problem: str) -> None:
        self.file, self.line, self.field, self.problem = file, line, field, problem
        place = file + (f":{line}" if line else "") + (f", field '{field}'" if field else "")
        super().__init__(f"{place}: {problem}")


class IntrospectionFailed(KnowledgeError):
    """`url` is safe to show: it carries no password."""

    def __init__(self, url: str, problem: str) -> None:
        self.url, self.problem = url, problem
        super().__init__(f"cannot introspect {url}: {problem}")


class EmbeddingModelInvalid(KnowledgeError):
    def __init__(self, model: str, problem: str) -> None:
        self.model = model
        super().__init__(
            f"embedding model '{model}' cannot be loaded: {problem}; give a sentence-transformers name or folder "
            "in KVASIR_EMBEDDING_MODEL, or leave it unset for the packaged all-MiniLM-L6-v2"
        )


class SchemaBehind(KnowledgeError):
    def __init__(self, url: str, found: str | None, wanted: str, command: str) -> None:
        self.found, self.wanted, self.command = found, wanted, command
        at = f"at version {found}" if found else "empty"
        super().__init__(f"the state database {url} is {at}, this Kvasir needs version {wanted}; run: {command}")
