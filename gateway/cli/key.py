"""`kvasir key`: API keys, whose existence opens the gateway to other machines."""

from __future__ import annotations

import click

from gateway.api_keys import ROLES, ApiKeys, Role
from gateway.cli.session import Session, command_options


@click.group("key")
def group() -> None:
    """Make, list and revoke API keys."""


@group.command()
@click.option("--name", required=True, help="Whose key it is; stands as author in what it confirms.")
@click.option("--role", "roles", multiple=True, type=click.Choice(ROLES), default=("ask",), show_default=True)
@command_options
def create(session: Session, name: str, roles: tuple[Role, ...]) -> None:
    """Make a key for the tenant. It is shown once."""
    with session.database() as database:
        key = ApiKeys(database).create(session.tenant, name, roles)
    shown = {"key": key, "tenant": session.tenant, "name": name, "roles": list(roles)}
    session.show(shown, lambda: click.echo(key))


@group.command("list")
@command_options
def list_(session: Session) -> None:
    """The tenant's keys, by the start of their hash."""
    with session.database() as database:
        keys = ApiKeys(database).list(session.tenant)

    def text() -> None:
        for key in keys:
            click.echo(f"{key.id}  {key.name}  {','.join(key.roles)}{'  revoked' if key.revoked else ''}")

    session.show([{"id": k.id, "name": k.name, "roles": list(k.roles), "revoked": k.revoked} for k in keys], text)


@group.command()
@click.argument("key_id")
@command_options
def revoke(session: Session, key_id: str) -> None:
    """Make a key worthless at once."""
    with session.database() as database:
        ApiKeys(database).revoke(session.tenant, key_id)
    session.show({"id": key_id, "revoked": True}, lambda: click.echo(f"{key_id} is revoked"))
