"""`kvasir ask`: one question, answered by the gateway's core in this process."""

from __future__ import annotations

import asyncio
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.cli.session import Session, command_options
from gateway.errors import BadRequest


@click.command()
@click.argument("question")
@click.option("--assistant", help="Which assistant to ask [the only one].")
@click.option("--user", default="", help="Whose preferences apply.")
@command_options
def ask(session: Session, question: str, assistant: str | None, user: str) -> None:
    """Ask a question. What was retrieved goes to stderr, the answer to stdout."""
    from gateway import wire
    from gateway.answering import Ask, answer, prepare
    from gateway.conversation import ask as conversation_of
    from gateway.core import open_core

    core = open_core(session.settings)
    try:
        names = core.assistant_names(session.tenant)
        if assistant is None and len(names) != 1:
            raise _undecided(session.tenant, names)
        chosen = assistant or names[0]
        asked = Ask(tenant=session.tenant, assistant=chosen, conversation=conversation_of(question), user=user)
        result = wire.completion(asyncio.run(answer(core, prepare(core, asked))))
    finally:
        core.close()
    session.show(result, lambda: _print(result))


def _undecided(tenant: str, names: tuple[str, ...]) -> BadRequest:
    if names:
        return BadRequest(f"several assistants are configured; name one with --assistant: {', '.join(names)}")
    return BadRequest(f"tenant '{tenant}' has no assistant; add [assistants.NAME] to kvasir.toml")


def _print(result: dict[str, Any]) -> None:
    kvasir = result["kvasir"]
    table = Table(title=f"retrieved at commit {kvasir['commit'][:12]}")
    for heading in ("item", "score", "why"):
        table.add_column(heading)
    for item in kvasir["items"]:
        table.add_row(item["id"], f"{item['score']:.2f}", escape(item["reason"]))
    Console(stderr=True).print(table)
    click.echo(result["choices"][0]["message"]["content"])
    source = f"confirmed answer {kvasir['verified_by']}" if kvasir["verified_by"] else "engine"
    checked = kvasir["verification"]
    click.echo(f"-- by {source}; request {kvasir['request_id']}", err=True)
    if checked:
        click.echo(f"-- check: {checked['status']} {checked['message']}".rstrip(), err=True)
        for row in checked["rows"]:
            click.echo("-- " + " | ".join(str(cell) for cell in row), err=True)
