"""`kvasir kb blame`: where each field of an item comes from, down to the request, the person and the replay."""

from __future__ import annotations

from typing import Any

import click

from gateway.cli.session import Session, base_option, command_options
from kb.knowledge_base import MAIN, KnowledgeBase
from kb.sql_store import SqlStore

WIDEST = 40


@click.command()
@click.argument("item")
@click.argument("field", required=False)
@base_option
@click.option("--at", "revision", default=MAIN, show_default=True, help="The commit the item is read at.")
@command_options
def blame(session: Session, base_name: str, item: str, field: str | None, revision: str) -> None:
    """For each field of ITEM (or one FIELD): the commit that made it so, its author, request and replay."""
    from gateway.blame_view import blame_views
    from gateway.proposals import Proposals
    from kb.blame import blame as find_origins

    with session.database() as database:
        base = KnowledgeBase(SqlStore(database), session.tenant, base_name)
        found = find_origins(base, item, field, revision=revision)
        views = blame_views(found, Proposals(database), session.tenant)
    session.show(views, lambda: _print_table(views))


def _print_table(views: list[dict[str, Any]]) -> None:
    head = ("field", "commit", "author", "time", "request", "confirmed by", "replay", "value")
    rows: list[tuple[str, ...]] = [head, *(_row(view) for view in views)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _row(view: dict[str, Any]) -> tuple[str, ...]:
    shown = repr(view["value"])
    return (
        view["field"],
        view["commit"][:12],
        view["author"],
        view["created_at"][:19],
        view["request"] or "-",
        view["confirmed_by"] or "-",
        (view["replay"] or {}).get("verdict") or view["proposal"] or "-",
        shown if len(shown) <= WIDEST else f"{shown[: WIDEST - 1]}…",
    )


COMMANDS = (blame,)
