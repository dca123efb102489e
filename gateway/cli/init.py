"""`kvasir init`: make or upgrade the state database."""

from __future__ import annotations

import click
from sqlalchemy import Engine

from gateway.cli.session import Session, command_options
from gateway.errors import ConfigError
from kb.database import open_database, upgrade


@click.command()
@command_options
def init(session: Session) -> None:
    """Make the state database, or bring it up to this version. Repeatable."""
    database = open_database(session.settings.state_url)
    try:
        version = _upgraded(session, database)
        shown = database.url.render_as_string(hide_password=True)
    finally:
        database.dispose()
    session.show(
        {"database": shown, "version": version},
        lambda: click.echo(f"{shown} is at version {version}"),
    )


def _upgraded(session: Session, database: Engine) -> str:
    try:
        return upgrade(database)
    except OSError as exc:
        problem = exc.strerror or str(exc)
        allowed = f"its folder cannot be made ({problem}); give a folder that this user may write in --home"
        raise ConfigError("home", str(session.settings.home), allowed) from exc
