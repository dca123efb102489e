"""`kvasir kb reach`: order the items of prompts by what recent requests needed."""

from __future__ import annotations

from dataclasses import asdict

import click

from gateway.cli.kb_changes import branch_option
from gateway.cli.session import Session, base_option, command_options, user_name
from gateway.freezing import RECENT_REQUESTS, freeze_reach
from gateway.traces import Traces
from kb.knowledge_base import KnowledgeBase
from kb.sql_store import SqlStore

SHOWN = 20


@click.command()
@base_option
@branch_option
@click.option(
    "--recent", type=click.IntRange(1), default=RECENT_REQUESTS, show_default=True, help="Over so many requests."
)
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@command_options
def reach(session: Session, base_name: str, branch: str, recent: int, dry_run: bool) -> None:
    """Freeze how many of the recent requests needed each item, by a commit.

    In a prompt, items of one kind that more requests need stand before the others, so that more prompts begin alike.
    Prompts change with this commit and stay as they are until the next: run it rarely, when little is asked.
    """
    with session.database() as database:
        base = KnowledgeBase(SqlStore(database), session.tenant, base_name)
        freeze = freeze_reach(base, Traces(database), branch=branch, author=user_name(), recent=recent, dry_run=dry_run)

    def text() -> None:
        widest = sorted(freeze.changes, key=lambda change: (-change.after, change.item))
        for change in widest[:SHOWN]:
            click.echo(f"{change.before / 10:5.1f} % → {change.after / 10:5.1f} %  {change.item}")
        if len(widest) > SHOWN:
            click.echo(f"… and {len(widest) - SHOWN} more; --json has all")
        did = f"{freeze.commit.short_id} {freeze.commit.message}" if freeze.commit else "nothing was committed"
        click.echo(f"{did} ({freeze.requests} requests counted)")

    session.show(asdict(freeze), text)


COMMANDS = (reach,)
