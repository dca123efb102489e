"""`kvasir kb verify` and `kvasir kb gc`: whether a base is whole, and what in it nothing needs."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import asdict

import click

from gateway.cli.session import Session, base_option, command_options
from gateway.errors import BadRequest
from gateway.verify_view import verify_view
from kb.knowledge_base import KnowledgeBase
from kb.sql_store import SqlStore

TOLD_EVERY = 10_000
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@click.command()
@base_option
@command_options
def verify(session: Session, base_name: str) -> None:
    """Derive every hash again; exit code 1 where an object or a branch is broken."""
    from kb.verify import verify as walk

    with session.base(base_name) as base:
        found = walk(base, progress=_told(session, "objects checked"))

    def text() -> None:
        for problem in found.problems:
            what = "dangling ref" if problem.dangling_ref else problem.fault
            click.echo(f"{what}: {problem.tag} {problem.object_id} {problem.detail}")
            click.echo(f"    reached by {' → '.join(problem.reached_by)}")
        counts = found.checked
        checked = f"{counts['commit']} commits, {counts['tree']} tree nodes, {counts['item']} items"
        checked += f", {counts['reach']} of reach" if counts["reach"] else ""
        click.echo(f"{checked}: " + (f"{len(found.problems)} broken" if found.problems else "all whole"))

    session.show(verify_view(found), text)
    if not found.clean:
        session.progress("restore what is broken from a backup of the state database, or from an export")
        sys.exit(1)


@click.command()
@base_option
@click.option("--dry-run", is_flag=True, help="Say what would go, and delete nothing.")
@click.option("--grace", default="2h", show_default=True, metavar="TIME", help="Keep what is younger: 90s, 15m, 1d.")
@command_options
def gc(session: Session, base_name: str, dry_run: bool, grace: str) -> None:
    """Delete what no branch, tag, trace, session or proposal can reach."""
    from gateway.kept import kept_ids
    from kb.gc import gc as collect

    match = _DURATION.match(grace)
    if not match:
        raise BadRequest(f"--grace {grace}: expected is a number and a unit, such as 90s, 15m, 2h or 1d")
    seconds = float(match[1]) * _SECONDS[match[2]]
    with session.database() as database:
        base = KnowledgeBase(SqlStore(database), session.tenant, base_name)
        keep = kept_ids(database, session.settings, base)
        told = _told(session, "objects marked")
        found = collect(base, keep=keep, grace_seconds=seconds, dry_run=dry_run, progress=told)
    verb = "would go" if dry_run else "deleted"
    line = f"{found.deleted} of {found.objects} objects {verb}, {found.deleted_bytes} of {found.total_bytes} bytes"
    session.show(asdict(found), lambda: click.echo(line))


def _told(session: Session, what: str) -> Callable[[int], None]:
    """Progress on stderr, for bases that take a while."""
    last = 0

    def tell(count: int) -> None:
        nonlocal last
        if count - last >= TOLD_EVERY:
            last = count
            session.progress(f"{count} {what} …")

    return tell


COMMANDS = (verify, gc)
