"""Both sides of a gate, made ready for `compare`: commits as they are, folders as commits of a base of their own.

That base is in memory and holds nothing else, so that the state's knowledge stays as it is. Head is committed on
base, as an import with `--prune` would: items that read what head's schema lost are in quarantine there, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from evals.side import CommitSide, Side, find_side, is_folder
from gateway.core import Core
from gateway.errors import AssistantNotFound
from gateway.settings import AssistantSettings
from kb.errors import BaseNotFound, NothingToCommit
from kb.folder import changes_from_folder
from kb.items import Item
from kb.knowledge_base import Changes, KnowledgeBase
from kb.memory_store import MemoryStore
from kb.retrieval import Retriever

_AUTHOR = "kvasir eval gate"
_THEN = datetime(2000, 1, 1, tzinfo=UTC)
"""The time of commits that are made of folders: with one of its own, the same folder would get another id each time."""


@dataclass(frozen=True, slots=True)
class Sides:
    """`base` and `head` are revisions of the assistant's base in `core`. `told` says what each name was read as."""

    core: Core
    base: str
    head: str
    told: tuple[str, ...] = ()


def open_sides(
    core: Core, assistant: str, *, tenant: str, base: str, head: str, knowledge: Path | None, suite_folder: Path
) -> Sides:
    """Find what `base` and `head` name, and import what are folders.

    A Git revision is one of the folder `knowledge`; where that is not given, of the folder that the other side is,
    else of `suite_folder`. Raises `AssistantNotFound`, `SideNotFound`, `AmbiguousCommit`, `FolderInvalid`, `GitFailed`.
    """
    settings = core.settings.assistants.get(assistant)
    if settings is None or settings.tenant != tenant:
        raise AssistantNotFound(assistant, core.assistant_names(tenant))
    given = next((Path(name) for name in (base, head) if is_folder(name)), suite_folder)
    known = _known_base(core, settings)
    before, after = (find_side(name, known, knowledge or given) for name in (base, head))
    if isinstance(before, CommitSide) and isinstance(after, CommitSide):
        return Sides(core, before.commit, after.commit)
    return _in_memory(core, settings, before, after)


def _known_base(core: Core, settings: AssistantSettings) -> KnowledgeBase | None:
    try:
        return core.base(settings.tenant, settings.kb)
    except BaseNotFound:
        return None


def _in_memory(core: Core, settings: AssistantSettings, before: Side, after: Side) -> Sides:
    store = MemoryStore()
    base = KnowledgeBase.create(store, settings.tenant, settings.kb, author=_AUTHOR, now=lambda: _THEN)
    commits: list[str] = []
    told: list[str] = []
    for name, side in (("base", before), ("head", after)):
        items = side.items()
        commits.append(_commit(base, items))
        told.append(f"{name}: {side}, {len(items)} items")
    # Engines' answers go on being kept in the state: they belong to prompts, not to commits.
    apart = replace(core, store=store, retriever=Retriever(store, core.retriever.embedder))
    return Sides(apart, commits[0], commits[1], tuple(told))


def _commit(base: KnowledgeBase, items: Iterable[Item]) -> str:
    changes: Changes = changes_from_folder(base.snapshot(), items, prune=True)
    try:
        return base.commit(changes, author=_AUTHOR, message="Read for a gate").id
    except NothingToCommit:
        return base.resolve().id
