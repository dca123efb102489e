"""`kvasir cache`: what the KV cache did for past requests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console

from gateway.cache_report.plot import draw
from gateway.cache_report.report import RECENT_REQUESTS, cache_report
from gateway.cache_report.view import print_report, report_data
from gateway.cli.session import Session, command_options
from gateway.errors import NoRequests
from gateway.since import since_time
from gateway.traces import Trace, Traces

PROGRESS_REQUESTS = 10_000


@click.group("cache")
def group() -> None:
    """Say what the KV cache did for past requests."""


@group.command()
@click.option("--since", help="How long ago (30m, 24h, 7d, 2w), a date or an ISO time; all that is stored, without it.")
@click.option(
    "--recent",
    type=click.IntRange(min=1),
    default=RECENT_REQUESTS,
    show_default=True,
    help="With how many earlier prompts of its engine each is compared.",
)
@click.option("--top", type=click.IntRange(min=1), default=10, show_default=True, help="How many breaks to list.")
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="Draw it into this file.")
@command_options
def report(session: Session, since: str | None, recent: int, top: int, plot: Path | None) -> None:
    """Hit rate by layer and kind of item, and what broke prefixes most often.

    Of the tenant's requests that an engine answered, as their stored traces tell.
    """
    begin = since_time(since, datetime.now(UTC)) if since else ""
    with session.database() as database:
        traces = Traces(database).in_order(session.tenant, since=begin)
        made = cache_report(_counted(session, traces), recent=recent)
    if not made.requests:
        raise NoRequests(session.tenant, begin)
    if plot:
        draw(made, plot)
    shown = {"tenant": session.tenant, "since": begin or None, **report_data(made, top)}
    session.show(shown, lambda: print_report(made, top, Console()))


def _counted(session: Session, traces: Iterator[Trace]) -> Iterator[Trace]:
    for number, trace in enumerate(traces, start=1):
        if number % PROGRESS_REQUESTS == 0:
            session.progress(f"{number:,} requests read …")
        yield trace
