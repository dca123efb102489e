"""`kvasir ask`: one question, answered by the gateway's core in this process."""

from __future__ import annotations

import asyncio
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from backend.errors import BackendError
from gateway.cli.session import Session, command_options
from gateway.errors import BadRequest, GatewayError


@click.command()
@click.argument("question")
@click.option("--assistant", help="Which assistant to ask [the only one].")
@click.option("--user", default="", help="Whose preferences apply.")
@command_options
def ask(session: Session, question: str, assistant: str | None, user: str) -> None:
    """Ask a question. What was retrieved goes to stderr, the answer to stdout.

    A question that fails leaves its trace: its id goes to stderr, and 'kvasir reject' can teach the right answer.
    """
    session.tell_loading()
    from gateway import wire
    from gateway.answering import Ask, answer, prepare
    from gateway.conversation import ask as conversation_of
    from gateway.core import open_core

    core = open_core(session.settings)
    try:
        chosen = _chosen(session.tenant, assistant, core.assistant_names(session.tenant))
        asked = Ask(tenant=session.tenant, assistant=chosen, conversation=conversation_of(question), user=user)
        prepared = prepare(core, asked)
        try:
            result = wire.completion(asyncio.run(answer(core, prepared)))
        except (GatewayError, BackendError):
            _print_retrieved(wire.kvasir_object(core.traces.get(session.tenant, asked.id)))
            teach = f"kvasir reject {asked.id} --answer '…'"
            session.progress(f"request {asked.id}: teach the right answer with: {teach}")
            raise
    finally:
        core.close()
    session.show(result, lambda: _print(result))


def _chosen(tenant: str, given: str | None, names: tuple[str, ...]) -> str:
    if not names:
        raise BadRequest(f"tenant '{tenant}' has no assistant; add [assistants.NAME] to kvasir.toml")
    if given is None and len(names) > 1:
        raise BadRequest(f"several assistants are configured; name one with --assistant: {', '.join(names)}")
    if given is not None and given not in names:
        raise BadRequest(
            f"assistant '{given}' not found (known: {', '.join(names)}); "
            f"name a known one with --assistant, or add [assistants.{given}] to kvasir.toml"
        )
    return given or names[0]


def _print_retrieved(kvasir: dict[str, Any]) -> None:
    table = Table(title=f"retrieved at commit {kvasir['commit'][:12]}")
    for heading in ("item", "score", "why"):
        # Folded, not cut: an id is there to be copied.
        table.add_column(heading, overflow="fold")
    for item in kvasir["items"]:
        table.add_row(escape(item["id"]), f"{item['score']:.2f}", escape(item["reason"]))
    Console(stderr=True).print(table)


def _print(result: dict[str, Any]) -> None:
    kvasir = result["kvasir"]
    _print_retrieved(kvasir)
    click.echo(result["choices"][0]["message"]["content"])
    source = f"confirmed answer {kvasir['verified_by']}" if kvasir["verified_by"] else "engine"
    checked = kvasir["verification"]
    click.echo(f"-- by {source}; request {kvasir['request_id']}", err=True)
    if checked:
        click.echo(f"-- check: {checked['status']} {checked['message']}".rstrip(), err=True)
        for row in checked["rows"]:
            click.echo("-- " + " | ".join(str(cell) for cell in row), err=True)
