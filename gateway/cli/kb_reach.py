"""`kvasir kb reach`: order the items of prompts by what recent requests needed."""

from __future__ import annotations

from dataclasses import asdict

import click

from gateway.cli.kb_changes import branch_option
from gateway.cli.landing import changing, cost_lines, dry_run_option, told_commit, told_view
from gateway.cli.session import Session, base_option, command_options, user_name
from gateway.freezing import RECENT_REQUESTS, freeze_reach
from gateway.traces import Traces

SHOWN = 20


@click.command()
@base_option
@branch_option
@click.option(
    "--recent", type=click.IntRange(1), default=RECENT_REQUESTS, show_default=True, help="Over so many requests."
)
@dry_run_option
@command_options
def reach(session: Session, base_name: str, branch: str, recent: int, dry_run: bool) -> None:
    """Freeze how many of the recent requests needed each item, by a commit.

    In a prompt, items of one kind that more requests need stand before the others, so that more prompts begin alike.
    Prompts change with this commit and stay as they are until the next: run it rarely, when little is asked.
    """
    with session.database() as database, changing(session, base_name, branch, dry_run=dry_run) as change:
        before = change.base.head(branch).id
        freeze = freeze_reach(change.base, Traces(database), branch=branch, author=user_name(), recent=recent)
        costs = change.costs(before, freeze.commit.id)

    def text() -> None:
        widest = sorted(freeze.changes, key=lambda change: (-change.after, change.item))
        for change in widest[:SHOWN]:
            click.echo(f"{change.before / 10:5.1f} % → {change.after / 10:5.1f} %  {change.item}")
        if len(widest) > SHOWN:
            click.echo(f"… and {len(widest) - SHOWN} more; --json has all")
        click.echo(freeze.commit.message if dry_run else f"{freeze.commit.short_id} {freeze.commit.message}")
        for line in cost_lines(costs, dry_run=dry_run):
            click.echo(line)

    data = {**asdict(freeze), "commit": told_commit(freeze.commit, dry_run=dry_run)}
    session.show({**data, **told_view(costs, dry_run=dry_run)}, text)


COMMANDS = (reach,)
