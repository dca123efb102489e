"""`kvasir kb commit`: put and remove items by hand."""

from __future__ import annotations

import click

from gateway.cli.item_option import item_given
from gateway.cli.kb_changes import branch_option, show_commit
from gateway.cli.landing import changing, dry_run_option
from gateway.cli.session import Session, base_option, command_options, user_name
from gateway.editing import commit_items
from gateway.errors import BadRequest


@click.command()
@base_option
@branch_option
@click.option(
    "--put", multiple=True, metavar="ITEM=FILE", help="An item as 'kvasir kb show ITEM' prints it; may be repeated."
)
@click.option("--remove", multiple=True, metavar="ITEM", help="The id of an item; may be repeated.")
@click.option("-m", "--message", help="Of the commit.")
@click.option("--onto", metavar="COMMIT", help="Refuse it where one of the items changed since that commit.")
@dry_run_option
@command_options
def commit(
    session: Session,
    base_name: str,
    branch: str,
    put: tuple[str, ...],
    remove: tuple[str, ...],
    message: str | None,
    onto: str | None,
    dry_run: bool,
) -> None:
    """Put and remove items by one commit."""
    if not put and not remove:
        raise BadRequest("nothing to commit; name items with --put ITEM=FILE or --remove ITEM")
    given = [item_given("--put", each) for each in put]
    for key, item in given:
        if key != item.id:
            raise BadRequest(f"--put {key}: the file holds {item.id}; name the item that it holds")
    items = [item for _, item in given]
    told = message or f"Put {len(items)} and remove {len(remove)} items by hand"
    with changing(session, base_name, branch, dry_run=dry_run) as change:
        edit = commit_items(change.base, items, remove, author=user_name(), message=told, branch=branch, onto=onto)
        for warning in edit.warnings:
            session.progress(f"warning: {warning}")
        show_commit(session, change, edit.commit, edit.warnings)


COMMANDS = (commit,)
