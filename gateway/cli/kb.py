"""`kvasir kb`: look into a knowledge base. The commands that change or check one are in the files `kb_*.py`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from gateway.cli import kb_blame, kb_care, kb_changes, kb_commit, kb_merge, kb_reach, kb_refs, kb_status
from gateway.cli.session import Session, base_option, command_options
from gateway.counted import counted
from gateway.diff_view import diff_view
from kb.codec import item_to_dict
from kb.diff import Diff, ItemChange
from kb.items import Item
from kb.knowledge_base import MAIN
from kb.objects import Commit
from kb.sql_store import SqlStore

_COLOURS = {"added": "green", "removed": "red", "changed": "yellow"}
_MARKS = {"added": "+", "removed": "-", "changed": "~"}


@click.group("kb")
def group() -> None:
    """Read and change versioned knowledge."""


for _module in (kb_commit, kb_changes, kb_merge, kb_status, kb_refs, kb_blame, kb_care, kb_reach):
    for _command in _module.COMMANDS:
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
    session.tell_loading()
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
@click.option("--at", "revision", default=MAIN, show_default=True, help="The commit, branch or tag to write.")
@click.option("--prune", is_flag=True, help="Remove the files of items that it does not have.")
@command_options
def export(session: Session, base_name: str, folder: Path, revision: str, prune: bool) -> None:
    """Write a commit's items to FOLDER, one Markdown file an item. What stands in such a file there is replaced."""
    from kb.folder import export_folder

    with session.base(base_name) as base:
        snapshot = base.snapshot(revision)
    written = export_folder(snapshot, folder, prune=prune)
    others = [str(path) for path in written.others]
    data = {
        "folder": str(folder),
        "items": written.items,
        "commit": snapshot.commit.id,
        "removed" if prune else "left": others,
    }

    def text() -> None:
        click.echo(f"{counted(written.items, 'item')} of {snapshot.commit.short_id} written to {folder}")
        if others:
            said = "removed" if prune else "left, of items that it does not have (--prune removes them)"
            click.echo(f"{counted(len(others), 'file')} {said}: {', '.join(others)}")

    session.show(data, text)


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
