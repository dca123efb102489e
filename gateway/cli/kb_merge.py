"""`kvasir kb merge` and `kvasir kb cherry-pick`: exit code 1 with the conflicts listed, where any is left."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Literal, TypeVar

import click

from gateway.cli.item_option import item_given
from gateway.cli.kb_changes import show_commit
from gateway.cli.landing import changing, cost_lines, dry_run_option, told_commit, told_view
from gateway.cli.session import Session, base_option, command_options, user_name
from gateway.conflict_view import conflict_lines, conflicts_view
from gateway.errors import BadRequest
from gateway.quarantine_view import report_lines, report_view
from kb.cross_conflicts import MetricDefinedTwice, SchemaRemoved
from kb.errors import MergeConflicts
from kb.item_merge import Resolution
from kb.knowledge_base import MAIN
from kb.quarantine import quarantine_report

R = TypeVar("R")


def resolution_options(command: Callable[..., R]) -> Callable[..., R]:
    """--ours, --theirs, --base, --both, --resolve and --onto."""
    key = "ITEM[:FIELD]"
    for option in (
        click.option("--onto", metavar="COMMIT", help="The head that the resolutions were made for (see 'ours')."),
        click.option("--resolve", multiple=True, metavar="ITEM=FILE", help="Take the item from a file, as exported."),
        click.option("--both", multiple=True, metavar="ITEM/ITEM", help="Keep what both sides did with two items."),
        click.option("--base", "take_base", multiple=True, metavar=key, help="Take it as it was before both."),
        click.option("--theirs", multiple=True, metavar=key, help="Take it as the other side has it."),
        click.option("--ours", multiple=True, metavar=key, help="Take it as the branch has it."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("revision")
@base_option
@click.option("--into", default=MAIN, show_default=True, help="The branch to merge into.")
@click.option("--no-ff", is_flag=True, help="Make a merge commit even where the branch could just move on.")
@click.option("-m", "--message", help="Of the merge commit.")
@resolution_options
@dry_run_option
@command_options
def merge(
    session: Session,
    base_name: str,
    revision: str,
    into: str,
    no_ff: bool,
    message: str | None,
    onto: str | None,
    dry_run: bool,
    **sides: tuple[str, ...],
) -> None:
    """Merge REVISION (a branch, tag or commit) into a branch, field by field."""
    from kb.merge import merge as merge_commits

    resolutions = _resolutions(**sides)
    with changing(session, base_name, into, dry_run=dry_run) as change, _conflicts_told(session):
        merged = merge_commits(
            change.base,
            revision,
            into=into,
            author=user_name(),
            message=message,
            no_ff=no_ff,
            resolutions=resolutions,
            onto=onto,
        )
        report = quarantine_report(change.base.diff(merged.before, merged.commit.id))
        costs = change.costs(merged.before, merged.commit.id)
    commit = merged.commit
    told = {
        "up-to-date": f"already up to date at {commit.short_id}",
        "fast-forward": f"{commit.short_id} fast-forward of {into}",
        "merged": f"{commit.short_id} {commit.message}",
    }[merged.outcome]
    if dry_run and merged.outcome == "merged":
        told = commit.message
    data = {**asdict(merged), "commit": told_commit(commit, dry_run=dry_run), **report_view(report)}
    lines = [told, *report_lines(report), *cost_lines(costs, dry_run=dry_run)]
    session.show({**data, **told_view(costs, dry_run=dry_run)}, lambda: click.echo("\n".join(lines)))


@click.command("cherry-pick")
@click.argument("revision")
@base_option
@click.option("--branch", default=MAIN, show_default=True, help="The branch to commit on.")
@resolution_options
@dry_run_option
@command_options
def cherry_pick(
    session: Session,
    base_name: str,
    revision: str,
    branch: str,
    onto: str | None,
    dry_run: bool,
    **sides: tuple[str, ...],
) -> None:
    """Commit on a branch what the commit REVISION changed."""
    from kb.cherry_pick import cherry_pick as pick

    resolutions = _resolutions(**sides)
    with changing(session, base_name, branch, dry_run=dry_run) as change, _conflicts_told(session):
        commit = pick(change.base, revision, branch=branch, author=user_name(), resolutions=resolutions, onto=onto)
        show_commit(session, change, commit)


def _resolutions(
    ours: tuple[str, ...],
    theirs: tuple[str, ...],
    take_base: tuple[str, ...],
    both: tuple[str, ...],
    resolve: tuple[str, ...],
) -> dict[str, Resolution]:
    sides: dict[Literal["ours", "theirs", "base", "both"], tuple[str, ...]]
    sides = {"ours": ours, "theirs": theirs, "base": take_base, "both": both}
    given: list[tuple[str, Resolution]] = [(key, side) for side, keys in sides.items() for key in keys]
    given += [item_given("--resolve", each) for each in resolve]
    twice = sorted({key for key, _ in given if sum(key == other for other, _ in given) > 1})
    if twice:
        raise BadRequest(
            f"'{twice[0]}' is resolved twice; give one of --ours, --theirs, --base, --both, --resolve for it"
        )
    return dict(given)


@contextmanager
def _conflicts_told(session: Session) -> Iterator[None]:
    try:
        yield
    except MergeConflicts as exc:
        lines = conflict_lines(exc.conflicts)
        session.show({"outcome": "conflicts", **conflicts_view(exc)}, lambda: click.echo("\n".join(lines)))
        count = len(exc.conflicts)
        pairs = any(isinstance(each, (MetricDefinedTwice, SchemaRemoved)) for each in exc.conflicts)
        session.progress(
            f"{count} {'conflict' if count == 1 else 'conflicts'}; nothing was changed. Settle each with --ours, "
            f"--theirs, --base{', --both' if pairs else ''} or --resolve, and name what they were made for: "
            f"--onto {exc.ours[:12]}"
        )
        sys.exit(1)


COMMANDS = (merge, cherry_pick)
