"""The commands of `kvasir kb` that change a knowledge base. Each makes one commit, or none where nothing differs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import click

from gateway.cli.landing import Change, changing, cost_lines, dry_run_option, told_commit, told_view
from gateway.cli.session import Session, base_option, command_options, user_name
from gateway.errors import BadRequest
from gateway.quarantine_view import report_lines, report_of, report_view
from kb.errors import BaseNotFound, NothingToCommit
from kb.importers import FORMAT_NAMES
from kb.knowledge_base import MAIN, Changes, Snapshot
from kb.objects import Commit
from kb.quarantine import QuarantineReport

branch_option = click.option("--branch", default=MAIN, show_default=True, help="The branch to commit on.")


@click.command()
@click.argument("source")
@base_option
@branch_option
@click.option("--sample", multiple=True, metavar="TABLE.COLUMN", help="Columns whose values may be stored (orders.*).")
@click.option("--database", default="", help="Name to prefix, where one base holds several databases.")
@dry_run_option
@command_options
def introspect(
    session: Session, base_name: str, branch: str, source: str, sample: tuple[str, ...], database: str, dry_run: bool
) -> None:
    """Read the tables of SOURCE (a datasource of kvasir.toml, or a SQLAlchemy URL) into the base."""
    from kb.introspect import introspect as read
    from kb.introspection_changes import introspection_changes

    known = session.settings.datasources.get(source)
    if known is None and "://" not in source:
        listed = ", ".join(session.settings.datasources) or "none is configured"
        raise BadRequest(
            f"'{source}' is no datasource of kvasir.toml (known: {listed}) and no URL; "
            "name one, or give sqlite:///PATH or postgresql://USER:PASSWORD@HOST/DATABASE"
        )
    url = known.url.get_secret_value() if known else source
    items = read(url, database=database, sample=sample)
    _commit(
        session,
        base_name,
        branch,
        lambda snapshot: introspection_changes(snapshot, items),
        f"Introspect {source if known else database or 'a database'}: {len(items)} items",
        dry_run=dry_run,
    )


@click.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@base_option
@branch_option
@click.option(
    "--from",
    "format_",
    type=click.Choice(["kvasir", *FORMAT_NAMES]),
    default="kvasir",
    show_default=True,
    help="What PATH holds: a folder of 'kvasir kb export', or another tool's files.",
)
@click.option("--dialect", default="", help="SQL dialect of another tool's files, by sqlglot's name [as they say].")
@click.option("--prune", is_flag=True, help="Remove items of the base that the folder does not have (kvasir only).")
@dry_run_option
@command_options
def import_(
    session: Session,
    base_name: str,
    branch: str,
    path: Path,
    format_: str,
    dialect: str,
    prune: bool,
    dry_run: bool,
) -> None:
    """Commit what the knowledge folder PATH says, or with --from what another tool's file or folder says."""
    from kb.dependencies import doubts, tables_of
    from kb.folder import changes_from_folder, import_folder

    if format_ != "kvasir":
        if prune:
            raise BadRequest("--prune goes with Kvasir's own folders; leave it out: other files never remove items")
        _import_other(session, base_name, branch, path, format_, dialect, dry_run)
        return
    if dialect:
        raise BadRequest("--dialect goes with --from; leave it out")
    items = import_folder(path)
    warnings: list[str] = []

    def changes(snapshot: Snapshot) -> Changes:
        wanted = changes_from_folder(snapshot, items, prune=prune)
        warnings.extend(doubts(wanted.put, tables_of((*snapshot.items.values(), *wanted.put))))
        return wanted

    message = f"Import {path.resolve().name}: {len(items)} items"
    _commit(session, base_name, branch, changes, message, warnings, dry_run=dry_run)


def _import_other(
    session: Session, base_name: str, branch: str, path: Path, format_: str, dialect: str, dry_run: bool
) -> None:
    from kb.importers.changes import changes_from_import
    from kb.importers.formats import import_as

    imported = import_as(format_, path, _head(session, base_name, branch), dialect)
    warnings = list(imported.warnings)

    def changes(snapshot: Snapshot) -> Changes:
        wanted, kept = changes_from_import(snapshot, imported)
        warnings.extend(kept)
        return wanted

    message = f"Import {path.resolve().name} ({format_}): {len(imported.items)} items"
    _commit(session, base_name, branch, changes, message, warnings, dry_run=dry_run)


def _head(session: Session, base_name: str, branch: str) -> Snapshot | None:
    """What the branch holds; `None` where the import will make the base."""
    try:
        with session.base(base_name) as base:
            return base.snapshot(base.head(branch).id)
    except BaseNotFound:
        return None


@click.command()
@click.argument("revision")
@base_option
@branch_option
@dry_run_option
@command_options
def revert(session: Session, base_name: str, branch: str, revision: str, dry_run: bool) -> None:
    """Commit the inverse of a commit."""
    with changing(session, base_name, branch, dry_run=dry_run) as change:
        show_commit(session, change, change.base.revert(revision, author=user_name(), branch=branch))


COMMANDS = (introspect, import_, revert)


def show_commit(session: Session, change: Change, commit: Commit, warnings: Sequence[str] | None = None) -> None:
    """A commit that was just made, what it took out of use or brought back, and what it costs the caches."""
    assert commit.parent is not None, "what a command commits stands on a head"
    report, costs = report_of(change.base, commit), change.costs(commit.parent, commit.id)

    def text() -> None:
        first = commit.message if change.dry_run else f"{commit.short_id} {commit.message}"
        for line in (first, *report_lines(report), *cost_lines(costs, dry_run=change.dry_run)):
            click.echo(line)

    told = {} if warnings is None else {"warnings": list(warnings)}
    data = {**told_commit(commit, dry_run=change.dry_run), **report_view(report), **told}
    session.show({**data, **told_view(costs, dry_run=change.dry_run)}, text)


def _commit(
    session: Session,
    base_name: str,
    branch: str,
    changes: Callable[[Snapshot], Changes],
    message: str,
    warnings: list[str] | None = None,
    *,
    dry_run: bool,
) -> None:
    """One commit of what differs from the branch's head; makes the base where it does not exist.

    `warnings`, which `changes` may add to, are part of the result where they are given; so is what the commit took
    out of use.
    """
    author = user_name()
    with changing(session, base_name, branch, dry_run=dry_run, author_of_new=author) as change:
        base = change.base
        snapshot = base.snapshot(base.head(branch).id)
        wanted = changes(snapshot)
        told = {} if warnings is None else {"warnings": warnings}
        for warning in warnings or ():
            session.progress(f"warning: {warning}")
        try:
            commit = base.commit(wanted, author=author, message=message, branch=branch, onto=snapshot.commit.id)
        except NothingToCommit:
            none = report_view(QuarantineReport((), ()))
            data = {"knowledge_base": base_name, "commit": snapshot.commit.id, "put": 0, "removed": 0, **none, **told}
            data |= {"dry_run": True} if dry_run else {}
            session.show(data, lambda: click.echo(f"nothing differs; {base_name} stays at {snapshot.commit.short_id}"))
            return
        report, costs = report_of(base, commit), change.costs(snapshot.commit.id, commit.id)
    put, removed = len(wanted.put), len(wanted.remove)
    line = f"{message} ({put} put, {removed} removed)"
    counts = {"knowledge_base": base_name, "commit": None if dry_run else commit.id, "put": put, "removed": removed}
    lines = [line if dry_run else f"{commit.short_id} {line}", *report_lines(report)]
    lines += cost_lines(costs, dry_run=dry_run)
    data = {**counts, **report_view(report), **told, **told_view(costs, dry_run=dry_run)}
    session.show(data, lambda: click.echo("\n".join(lines)))
