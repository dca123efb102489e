"""`kvasir kb`: look into a knowledge base. The commands that change or check one are in the files `kb_*.py`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from gateway.cli import kb_blame, kb_care, kb_changes, kb_merge
from gateway.cli.session import Session, base_option, command_options
from gateway.errors import BadRequest
from kb.codec import item_to_dict
from kb.diff import Diff, ItemChange
from kb.errors import BranchNotFound
from kb.items import Item
from kb.knowledge_base import MAIN, KnowledgeBase
from kb.objects import Commit
from kb.sql_store import SqlStore

_COLOURS = {"added": "green", "removed": "red", "changed": "yellow"}
_MARKS = {"added": "+", "removed": "-", "changed": "~"}


@click.group("kb")
def group() -> None:
    """Read and change versioned knowledge."""


for _command in (*kb_changes.COMMANDS, *kb_merge.COMMANDS, *kb_blame.COMMANDS, *kb_care.COMMANDS):
    group.add_command(_command)


@group.command("list")
@command_options
def list_(session: Session) -> None:
    """The tenant's knowledge bases."""
    with session.database() as database:
        names = SqlStore(database).bases(session.tenant)
    session.show(names, lambda: click.echo("\n".join(names) or "no knowledge base; make one with 'kvasir kb import'"))


@group.command()
@click.argument("revision", default=MAIN)
@base_option
@click.option("--item", help="Only commits that changed this item.")
@click.option("-n", "--limit", type=click.IntRange(1), default=20, show_default=True)
@command_options
def log(session: Session, base_name: str, revision: str, item: str | None, limit: int) -> None:
    """Commits from REVISION back, newest first."""
    with session.base(base_name) as base:
        commits = base.log(revision, limit=limit, item=item)

    def text() -> None:
        for commit in commits:
            _print_commit(commit)

    session.show([asdict(commit) for commit in commits], text)


@group.command()
@click.argument("name", default=MAIN)
@base_option
@click.option("--at", "revision", default=MAIN, show_default=True, help="The commit an item is read at.")
@command_options
def show(session: Session, base_name: str, name: str, revision: str) -> None:
    """An item (KIND:NAME), or a commit and what it changed."""
    with session.base(base_name) as base:
        if ":" in name:
            item = base.item(name, revision)
            session.show(item_to_dict(item), lambda: _print_item(item))
            return
        commit = base.resolve(name)
        diff = base.diff(commit.parent, commit.id) if commit.parent else Diff("", commit.id, ())

    def text() -> None:
        _print_commit(commit)
        _print_diff(diff)

    session.show({**asdict(commit), "changes": diff_view(diff)}, text)


@group.command()
@click.argument("old")
@click.argument("new", default=MAIN)
@base_option
@command_options
def diff(session: Session, base_name: str, old: str, new: str) -> None:
    """What differs from OLD to NEW, item by item, field by field."""
    with session.base(base_name) as base:
        found = base.diff(old, new)
    data = {"old": found.old, "new": found.new, "changes": diff_view(found)}
    session.show(data, lambda: _print_diff(found))


@group.command()
@click.argument("question")
@base_option
@click.option("--at", "revision", default=MAIN, show_default=True)
@command_options
def search(session: Session, base_name: str, question: str, revision: str) -> None:
    """What a question retrieves, and why."""
    from kb.embedding import SentenceEmbedder
    from kb.retrieval import Retriever

    with session.base(base_name) as base:
        retriever = Retriever(base.store, SentenceEmbedder(session.settings.embedding_model))
        found = retriever.retrieve(base, question, revision=revision)

    def text() -> None:
        for hit in found.hits:
            click.echo(f"{hit.score:5.2f}  {hit.item.id:<40} {'; '.join(hit.reasons)}")

    hits = [
        {"id": h.item.id, "kind": h.item.kind, "title": h.item.title, "score": h.score, "reason": "; ".join(h.reasons)}
        for h in found.hits
    ]
    session.show({"commit": found.commit.id, "question": question, "hits": hits}, text)


@group.command()
@click.argument("folder", type=click.Path(path_type=Path))
@base_option
@click.option("--at", "revision", default=MAIN, show_default=True)
@command_options
def export(session: Session, base_name: str, folder: Path, revision: str) -> None:
    """Write a commit's items to FOLDER, one Markdown file an item."""
    from kb.folder import export_folder

    with session.base(base_name) as base:
        snapshot = base.snapshot(revision)
    written = export_folder(snapshot, folder)
    data = {"folder": str(folder), "items": written, "commit": snapshot.commit.id}
    session.show(data, lambda: click.echo(f"{written} items of {snapshot.commit.short_id} written to {folder}"))


@group.command()
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

    def text() -> None:
        for each, commit in branches.items():
            click.echo(f"{commit[:12]}  {each}")

    session.show(branches, text)


def _change_branch(base: KnowledgeBase, name: str, revision: str, delete: bool) -> None:
    if not delete:
        base.branch(name, revision)
        return
    try:
        base.delete_branch(name)
    except BranchNotFound as exc:
        listed = f"list the branches with 'kvasir kb branch --kb {base.name}'"
        raise BadRequest(f"branch '{name}' not found in '{base.name}'; {listed}") from exc


def diff_view(diff: Diff) -> list[dict[str, Any]]:
    return [
        {
            "id": change.id,
            "change": change.change,
            "fields": [asdict(field) for field in change.fields] if change.change == "changed" else [],
            "old": item_to_dict(change.old) if change.old else None,
            "new": item_to_dict(change.new) if change.new else None,
        }
        for change in diff.changes
    ]


def _print_commit(commit: Commit) -> None:
    click.secho(f"commit {commit.id}", fg="yellow")
    click.echo(f"author {commit.author}, {commit.created_at}")
    for key, value in commit.evidence.items():
        click.echo(f"{key} {value}")
    click.echo(f"\n    {commit.message}\n")


def _print_diff(diff: Diff) -> None:
    if not diff.changes:
        click.echo("no difference")
    for change in diff.changes:
        click.secho(f"{_MARKS[change.change]} {change.id}  {_title(change)}", fg=_COLOURS[change.change])
        if change.change == "changed":
            for field in change.fields:
                click.echo(f"    {field.field}: {field.old!r} → {field.new!r}")


def _title(change: ItemChange) -> str:
    item = change.new or change.old
    return item.title if item else ""


def _print_item(item: Item) -> None:
    from kb.item_file import write_item

    click.echo(write_item(item), nl=False)
