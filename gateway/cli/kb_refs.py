"""`kvasir kb branch` and `kvasir kb tag`: the names of commits."""

from __future__ import annotations

from collections.abc import Mapping

import click

from gateway.cli.session import Session, base_option, command_options
from gateway.errors import BadRequest
from kb.errors import BranchNotFound
from kb.knowledge_base import MAIN, KnowledgeBase


@click.command()
@click.argument("name", required=False)
@base_option
@click.option("--at", "revision", default=MAIN, show_default=True, help="Where the new branch starts.")
@click.option("--delete", is_flag=True, help="Delete the branch; its commits stay readable by id until 'gc'.")
@command_options
def branch(session: Session, base_name: str, name: str | None, revision: str, delete: bool) -> None:
    """List branches, or make (or delete) the branch NAME."""
    if delete and name in (None, MAIN):
        raise BadRequest(f"--delete takes the name of a branch other than {MAIN}; list them with 'kvasir kb branch'")
    with session.base(base_name) as base:
        if name is not None:
            _change_branch(base, name, revision, delete)
        branches = base.branches()
    session.show(branches, lambda: _print(branches))


@click.command()
@click.argument("name", required=False)
@base_option
@click.option("--at", "revision", default=MAIN, show_default=True, help="The commit that gets the tag.")
@click.option("--delete", is_flag=True, help="Delete the tag; what only it reached goes with the next 'gc'.")
@command_options
def tag(session: Session, base_name: str, name: str | None, revision: str, delete: bool) -> None:
    """List tags, or make (or delete) the tag NAME. A tag never moves, and keeps its commit from 'gc'."""
    if delete and name is None:
        raise BadRequest("--delete takes the name of a tag; list them with 'kvasir kb tag'")
    with session.base(base_name) as base:
        if name is not None and delete:
            base.delete_tag(name)
        elif name is not None:
            base.tag(name, revision)
        tags = base.tags()
    session.show(tags, lambda: _print(tags))


COMMANDS = (branch, tag)


def _print(names: Mapping[str, str]) -> None:
    for each, commit in names.items():
        click.echo(f"{commit[:12]}  {each}")


def _change_branch(base: KnowledgeBase, name: str, revision: str, delete: bool) -> None:
    if not delete:
        base.branch(name, revision)
        return
    try:
        base.delete_branch(name)
    except BranchNotFound as exc:
        listed = f"list the branches with 'kvasir kb branch --kb {base.name}'"
        raise BadRequest(f"branch '{name}' not found in '{base.name}'; {listed}") from exc
