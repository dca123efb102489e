"""What the commands that move a branch share: the knowledge base that they change, and what that costs the caches.

Where an assistant that reads the branch has an engine with a cache, the branch lands warm, and the cost is told: that
takes the embedding model, so other commands do without. A dry run changes a base whose writes are forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.session import Session
from kb.errors import BaseNotFound
from kb.knowledge_base import MAIN, KnowledgeBase
from kb.objects import Commit
from kb.sql_store import SqlStore
from kb.store import Store

if TYPE_CHECKING:
    from gateway.core import Core
    from gateway.prefix_cost import LandingCost

dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Say what would change and what that costs the caches; change nothing."
)


@dataclass(frozen=True)
class Change:
    """What a command may do to `base`. `costs` takes the commits before and after."""

    base: KnowledgeBase
    dry_run: bool
    costs: Callable[[str, str], tuple[LandingCost, ...] | None]


@contextmanager
def changing(
    session: Session, name: str, branch: str, *, dry_run: bool, author_of_new: str | None = None
) -> Iterator[Change]:
    """The base with its branch to be moved. With `author_of_new`, one that does not exist is made."""
    if not dry_run and not _lands_warm(session, name, branch):
        with session.database() as database:
            base = _opened(SqlStore(database), session.tenant, name, branch, author_of_new)
            yield Change(base, False, lambda _before, _after: None)
        return
    session.tell_loading()
    from gateway.core import open_core
    from gateway.prefix_cost import landing_costs
    from gateway.warm_landing import warm_landings

    opened = open_core(session.settings, dry_run=dry_run)
    core: Core = opened if dry_run else warm_landings(opened)
    try:
        base = _opened(core.store, session.tenant, name, branch, author_of_new)
        yield Change(
            core.base(session.tenant, name),
            dry_run,
            lambda before, after: landing_costs(core, base.id, branch, before, after),
        )
    finally:
        core.close()


def told_commit(commit: Commit, *, dry_run: bool) -> dict[str, Any]:
    """For `--json`. The id of a dry run's commit names nothing."""
    return {**asdict(commit), "id": None} if dry_run else asdict(commit)


def told_view(costs: Sequence[LandingCost] | None, *, dry_run: bool) -> dict[str, Any]:
    """What `--json` says besides of a change: that it was none, and its costs where they were counted."""
    from gateway.cost_view import costs_view

    told: dict[str, Any] = {"dry_run": True} if dry_run else {}
    return told if costs is None else {**told, "prefix": costs_view(costs)}


def cost_lines(costs: Sequence[LandingCost] | None, *, dry_run: bool) -> list[str]:
    from evals.summary import prefix_line

    lines = []
    for each in costs or ():
        nothing = f"'{each.assistant}' has answered nothing yet, so landing invalidates nothing"
        lines.append(nothing if each.cost is None else f"'{each.assistant}': {prefix_line(each.cost)}")
    if dry_run and not lines:
        lines.append("no assistant reads this branch, so landing invalidates nothing")
    return [*lines, "nothing was committed"] if dry_run else lines


def _lands_warm(session: Session, name: str, branch: str) -> bool:
    settings = session.settings
    engines = {
        entry.engine
        for entry in settings.assistants.values()
        if (entry.tenant, entry.kb, entry.commit or entry.branch) == (session.tenant, name, branch)
    }
    configured = (settings.engines[engine] for engine in engines if engine is not None)
    return any(engine.cache_url is not None and engine.warm_seconds > 0 for engine in configured)


def _opened(store: Store, tenant: str, name: str, branch: str, author_of_new: str | None) -> KnowledgeBase:
    try:
        return KnowledgeBase(store, tenant, name)
    except BaseNotFound:
        if author_of_new is None or branch != MAIN:
            raise  # a new base has no other branch, and a command that fails leaves nothing behind
        return KnowledgeBase.create(store, tenant, name, author=author_of_new)
