"""A person's verdict on an answer: what may be confirmed, and the proposal it becomes."""

from __future__ import annotations

from gateway.core import Core
from gateway.errors import BadRequest
from gateway.proposals import Proposal, Verdict


def confirm(
    core: Core,
    tenant: str,
    request_id: str,
    verdict: Verdict,
    *,
    answer: str | None,
    note: str | None,
    by: str,
    curates: bool,
) -> Proposal | None:
    """Record the verdict durably. `None` where it teaches nothing: a failure without a correction.

    `curates` is whether this person may decide which of two contradicting answers holds.

    Raises `RequestNotFound`, `BadRequest`, `VerdictConflict`.
    """
    trace = core.traces.get(tenant, request_id)
    given = answer.strip() if answer else None
    if answer is not None and not given:
        raise BadRequest("answer is empty; leave it out, or give the corrected answer", "answer")
    if verdict == "success" and trace.answer is None:
        raise BadRequest(
            f"request '{request_id}' has no answer to confirm ({trace.error}); "
            "give verdict 'failure' with the right answer to teach it",
            "verdict",
        )
    if verdict == "success" and given and trace.answer and given != trace.answer.strip():
        raise BadRequest("another answer than the one given is a correction: its verdict is 'failure'", "answer")
    return core.proposals.confirm(trace, verdict, None if verdict == "success" else given, note, by, curates=curates)
