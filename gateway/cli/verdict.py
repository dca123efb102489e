"""`kvasir confirm` and `kvasir reject`: a person's verdict on an answer."""

from __future__ import annotations

import sys

import click

from gateway.cli.session import Session, command_options, user_name
from gateway.errors import BadRequest
from gateway.proposals import Verdict

NOTHING_LEARNED = "nothing is learned from a failure without the right answer (give it with --answer)"


@click.command()
@click.argument("request_id")
@click.option("--note", help="Why, for whoever reads the item's history.")
@command_options
def confirm(session: Session, request_id: str, note: str | None) -> None:
    """Say that an answer was right. It becomes knowledge once its replay is clean."""
    _give(session, request_id, "success", None, note)


@click.command()
@click.argument("request_id")
@click.option("--answer", help="The right answer; without it nothing is learned.")
@click.option("--note", help="Why, for whoever reads the item's history.")
@command_options
def reject(session: Session, request_id: str, answer: str | None, note: str | None) -> None:
    """Say that an answer was wrong, and what would have been right."""
    _give(session, request_id, "failure", answer, note)


def _give(session: Session, request_id: str, verdict: Verdict, answer: str | None, note: str | None) -> None:
    session.tell_loading()
    from evals.replay import SuiteReplay
    from gateway.capture import Capture
    from gateway.capture_worker import CaptureWorker
    from gateway.confirming import confirm as give_verdict
    from gateway.core import open_core
    from gateway.proposal_view import confirmation_view
    from gateway.warm_landing import warm_landings

    core = warm_landings(open_core(session.settings))
    try:
        by = user_name()
        try:
            proposal = give_verdict(
                core, session.tenant, request_id, verdict, answer=answer, note=note, by=by, curates=True
            )
        except BadRequest as exc:
            raise _in_words_of_the_command(exc, request_id) from exc
        if proposal is not None:
            session.progress(f"proposal {proposal.id}: checking and replaying …")
            CaptureWorker(core, Capture(core, SuiteReplay())).drain(only=proposal.id)
            proposal = core.proposals.get(session.tenant, proposal.id)
        view = confirmation_view(request_id, verdict, proposal)
        if proposal is None:
            view["detail"] = NOTHING_LEARNED
    finally:
        core.close()
    session.show(view, lambda: click.echo(f"{view['id'] or request_id}: {view['state']}, {view['detail']}"))
    if view["state"] == "failed":
        sys.exit(1)


def _in_words_of_the_command(error: BadRequest, request_id: str) -> BadRequest:
    """The same mistake, told with options in place of the API's fields."""
    if error.param == "verdict":
        teach = f"kvasir reject {request_id} --answer '…'"
        return BadRequest(f"request '{request_id}' has no answer to confirm; teach the right one with: {teach}")
    if error.param == "answer":
        return BadRequest("--answer is empty; leave it out, or give the right answer")
    return error
