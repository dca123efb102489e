"""`kvasir proposal`: what confirmations became, and a curator's decision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, get_args

import click

from gateway.capture import Capture
from gateway.capture_worker import CaptureWorker
from gateway.cli.session import Session, command_options, user_name
from gateway.core import open_core
from gateway.counted import counted
from gateway.proposal_view import proposal_view, reverted_view
from gateway.proposals import Proposal, State
from gateway.reverting import Reverted
from gateway.reverting import revert as take_back
from gateway.warm_landing import warm_landings


@click.group("proposal")
def group() -> None:
    """Look at proposals, and decide about those that wait. PROPOSAL is an id, or the first characters of one."""


@group.command("list")
@click.option("--state", type=click.Choice(get_args(State)), help="Only those in this state.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="At most so many.")
@command_options
def list_(session: Session, state: State | None, limit: int) -> None:
    """Newest first."""
    with _capture(session) as (capture, _):
        found = capture.core.proposals.list(session.tenant, state=state, limit=limit)

    def text() -> None:
        for proposal in found:
            click.echo(f"{proposal.id}  {proposal.state:<9}  {proposal.detail}")

    session.show([proposal_view(proposal) for proposal in found], text)


@group.command()
@click.argument("proposal")
@command_options
def show(session: Session, proposal: str) -> None:
    """Its steps, the answers that it contradicts, and its replay report."""
    with _capture(session) as (capture, _):
        named = capture.core.proposals.id_of(session.tenant, proposal)
        _print(session, capture.core.proposals.get(session.tenant, named), report=True)


@group.command()
@click.argument("proposal")
@command_options
def approve(session: Session, proposal: str) -> None:
    """Land it. Where it was not replayed, or the branch moved since, it is replayed first."""
    with _capture(session) as (capture, by):
        decided = capture.approve(session.tenant, capture.core.proposals.id_of(session.tenant, proposal), by)
        if decided.state == "queued":
            session.progress(f"proposal {decided.id}: {decided.detail} …")
            CaptureWorker(capture.core, capture).drain(only=decided.id)
            decided = capture.core.proposals.get(session.tenant, decided.id)
        _print(session, decided)


@group.command()
@click.argument("proposal")
@command_options
def reject(session: Session, proposal: str) -> None:
    """Close it without landing it."""
    with _capture(session) as (capture, by):
        named = capture.core.proposals.id_of(session.tenant, proposal)
        _print(session, capture.reject(session.tenant, named, by))


@group.command()
@click.argument("proposal")
@command_options
def revert(session: Session, proposal: str) -> None:
    """Take back what it landed, by one commit, and list the answers that had used it."""
    with _capture(session) as (capture, by):
        named = capture.core.proposals.id_of(session.tenant, proposal)
        reverted = take_back(capture.core, session.tenant, named, by)
    session.show(reverted_view(reverted), lambda: _print_reverted(reverted))


@contextmanager
def _capture(session: Session) -> Iterator[tuple[Capture, str]]:
    from evals.replay import SuiteReplay

    core = warm_landings(open_core(session.settings))
    try:
        yield Capture(core, SuiteReplay()), user_name()
    finally:
        core.close()


def _print(session: Session, proposal: Proposal, *, report: bool = False) -> None:
    def text() -> None:
        click.echo(f"{proposal.id}: {proposal.state}, {proposal.detail}")
        for step in proposal.steps:
            click.echo(f"  {step.name:<10} {step.outcome:<8} {step.detail}")
        if report:
            for conflict in proposal.found("conflicts") or ():
                _print_conflict(conflict)
        if report and proposal.report is not None:
            _print_report(proposal.report)

    session.show(proposal_view(proposal), text)


def _print_report(report: dict[str, Any]) -> None:
    """Its replay, one line a case, and what landing costs the cache."""
    from evals.summary import prefix_line
    from gateway.replay import PrefixCost

    rows = [("case", "before", "after", "verdict")]
    rows += [(case["id"], *_sides(case), case["verdict"]) for case in report["cases"]]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    click.echo(f"replay of {report['base'][:12]} (before) and {report['head'][:12]} (after): {report['verdict']}")
    for row in rows:
        click.echo("  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
    if report.get("prefix") is not None:
        click.echo(prefix_line(PrefixCost(**report["prefix"])))


def _sides(case: dict[str, Any]) -> tuple[str, str]:
    if not case["prompt_changed"] and case["verdict"] == "same":
        return "same prompt", "not asked"
    return _side(case["base"]), _side(case["head"])


def _side(outcome: dict[str, Any] | None) -> str:
    if outcome is None:
        return "not judged"
    return f"{outcome['passed']}/{outcome['repeats']} {outcome['reason'] or ''}".rstrip()


def _print_conflict(conflict: dict[str, Any]) -> None:
    """Both answers to one question, with what each gives."""
    click.echo(f"contradicts {conflict['item']}: {conflict['question']}")
    for side in ("confirmed", "proposed"):
        click.echo(f"  {side:<10} {' '.join(conflict[side]['answer'].split())}")
        if conflict[side]["result"] is not None:
            click.echo(f"  {'':<10} {_result(conflict[side]['result'])}")


def _result(result: dict[str, Any]) -> str:
    if result["status"] != "passed":
        return f"{result['status']}: {result['message']}"
    count = counted(result["row_count"], "row")
    rows = "; ".join(", ".join(str(cell) for cell in row) for row in result["rows"])
    more = " …" if result["row_count"] > len(result["rows"]) else ""
    return f"{count}: {rows}{more}" if rows else count


def _print_reverted(reverted: Reverted) -> None:
    click.echo(f"{reverted.proposal.id}: {reverted.proposal.state} by commit {reverted.commit[:12]}")
    click.echo(f"{counted(len(reverted.used_by), 'answer')} had used it since it landed")
    for use in reverted.used_by:
        click.echo(f"  {use.request_id}  {use.created_at[:19]}  {' '.join(use.question.split())}")
