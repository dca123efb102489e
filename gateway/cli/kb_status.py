"""`kvasir kb items`, `quarantine`, `activate` and `retire`: which items are in use, and what a person decides."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import get_args

import click

from gateway.cli.kb_changes import branch_option, show_commit
from gateway.cli.landing import changing, dry_run_option
from gateway.cli.session import Session, base_option, command_options, user_name
from gateway.quarantine_view import quarantined_line, quarantined_view
from kb.items import KINDS, Kind, Status
from kb.knowledge_base import MAIN
from kb.objects import Commit

_at_option = click.option("--at", "revision", default=MAIN, show_default=True, help="The commit that is looked at.")


@click.command()
@base_option
@_at_option
@click.option("--kind", type=click.Choice(KINDS), help="Only items of this kind.")
@click.option("--status", type=click.Choice(get_args(Status)), help="Only items of this status.")
@command_options
def items(session: Session, base_name: str, revision: str, kind: Kind | None, status: Status | None) -> None:
    """The items of a commit."""
    from kb.statuses import items_of

    with session.base(base_name) as base:
        found = items_of(base, revision, kind=kind, status=status)

    def text() -> None:
        width = max((len(item.id) for item in found), default=0)
        for item in found:
            click.echo(f"{item.status:<11}  {item.id:<{width}}  {item.title}")

    session.show([{"id": i.id, "kind": i.kind, "status": i.status, "title": i.title} for i in found], text)


@click.command()
@base_option
@_at_option
@command_options
def quarantine(session: Session, base_name: str, revision: str) -> None:
    """The items that are in quarantine, and the columns that each lost."""
    from kb.statuses import items_of

    with session.base(base_name) as base:
        found = items_of(base, revision, status="quarantined")
    session.show(
        [quarantined_view(item) for item in found],
        lambda: click.echo("\n".join(map(quarantined_line, found)) or "nothing is in quarantine"),
    )


@click.command()
@click.argument("item", nargs=-1, required=True)
@base_option
@branch_option
@click.option("-m", "--message", help="Of the commit.")
@dry_run_option
@command_options
def activate(
    session: Session, base_name: str, branch: str, item: tuple[str, ...], message: str | None, dry_run: bool
) -> None:
    """Take ITEMs into use: proposed ones, retired ones, and ones in quarantine that are right again."""
    from kb.statuses import activate as commit_active

    _commit(session, base_name, branch, item, message, commit_active, dry_run)


@click.command()
@click.argument("item", nargs=-1, required=True)
@base_option
@branch_option
@click.option("-m", "--message", help="Of the commit [which items are retired].")
@click.option("--reason", default="", help="Why; it ends the message.")
@dry_run_option
@command_options
def retire(
    session: Session,
    base_name: str,
    branch: str,
    item: tuple[str, ...],
    message: str | None,
    reason: str,
    dry_run: bool,
) -> None:
    """Take ITEMs out of use. They stay in the base, and 'activate' brings them back."""
    from kb.statuses import retire as commit_retired

    _commit(session, base_name, branch, item, message, partial(commit_retired, reason=reason), dry_run)


def _commit(
    session: Session,
    base_name: str,
    branch: str,
    item_ids: tuple[str, ...],
    message: str | None,
    decide: Callable[..., Commit],
    dry_run: bool,
) -> None:
    with changing(session, base_name, branch, dry_run=dry_run) as change:
        commit = decide(change.base, item_ids, author=user_name(), branch=branch, message=message)
        show_commit(session, change, commit)


COMMANDS = (items, quarantine, activate, retire)
