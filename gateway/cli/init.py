"""`kvasir init`: make or upgrade the state database."""

from __future__ import annotations

import click

from gateway.cli.session import Session, command_options
from kb.database import open_database, upgrade


@click.command()
@command_options
def init(session: Session) -> None:
    """Make the state database, or bring it up to this version. Repeatable."""
    database = open_database(session.settings.state_url)
    try:
        version = upgrade(database)
        shown = database.url.render_as_string(hide_password=True)
    finally:
        database.dispose()
    session.show(
        {"database": shown, "version": version},
        lambda: click.echo(f"{shown} is at version {version}"),
    )
