"""`kvasir proposal`: what confirmations became, and a curator's decision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from gateway.capture import Capture
from gateway.cli.session import Session, command_options, user_name
from gateway.core import open_core
from gateway.proposal_view import proposal_view
from gateway.proposals import Proposal


@click.group("proposal")
def group() -> None:
    """Look at proposals, and decide about those that wait."""


@group.command("list")
@command_options
def list_(session: Session) -> None:
    """Newest first."""
    with _capture(session) as (capture, _):
        found = capture.core.proposals.list(session.tenant)

    def text() -> None:
        for proposal in found:
            click.echo(f"{proposal.id}  {proposal.state:<9}  {proposal.detail}")

    session.show([proposal_view(proposal) for proposal in found], text)


@group.command()
@click.argument("proposal_id")
@command_options
def show(session: Session, proposal_id: str) -> None:
    """Its steps and its replay report."""
    with _capture(session) as (capture, _):
        _print(session, capture.core.proposals.get(session.tenant, proposal_id))


@group.command()
@click.argument("proposal_id")
@command_options
def approve(session: Session, proposal_id: str) -> None:
    """Land it."""
    with _capture(session) as (capture, by):
        _print(session, capture.approve(session.tenant, proposal_id, by))


@group.command()
@click.argument("proposal_id")
@command_options
def reject(session: Session, proposal_id: str) -> None:
    """Close it without landing it."""
    with _capture(session) as (capture, by):
        _print(session, capture.reject(session.tenant, proposal_id, by))


@contextmanager
def _capture(session: Session) -> Iterator[tuple[Capture, str]]:
    from evals.replay import SuiteReplay

    core = open_core(session.settings)
    try:
        yield Capture(core, SuiteReplay()), user_name()
    finally:
        core.close()


def _print(session: Session, proposal: Proposal) -> None:
    def text() -> None:
        click.echo(f"{proposal.id}: {proposal.state}, {proposal.detail}")
        for step in proposal.steps:
            click.echo(f"  {step.name:<8} {step.outcome:<8} {step.detail}")

    session.show(proposal_view(proposal), text)
