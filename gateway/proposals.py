"""Confirmations and the proposals they become, kept so that what was acknowledged outlives any crash.

A confirmation and its proposal are written in one transaction. A worker takes a proposal by a lease; when the worker
dies, the lease runs out and another takes it up. The queue is the table itself. A proposal is stored only by whoever
read it last: `attempts` and `updated_at` are its version, so that a worker whose lease ran out, or the later of two
curators, overwrites nothing.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Connection, Engine, Row, func, insert, select, tuple_, update

from gateway.errors import ProposalAmbiguous, ProposalChanged, ProposalNotFound, VerdictConflict
from gateway.tables import confirmations, proposals
from gateway.traces import Trace
from kb.database import insert_missing, transaction

Verdict = Literal["success", "failure"]
State = Literal["queued", "waiting", "landing", "landed", "duplicate", "rejected", "failed", "reverted"]
CLOSED: tuple[State, ...] = ("landed", "duplicate", "rejected", "failed", "reverted")
Outcome = Literal["ok", "skipped", "stopped"]
PREFIX = "prop_"


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A person's verdict on a request; `answer` is the correction of a failure.

    A person who `curates` may decide between confirmed answers, so that rejecting one of them settles the conflict.
    """

    tenant: str
    request_id: str
    verdict: Verdict
    answer: str | None
    note: str | None
    confirmed_by: str
    created_at: str
    curates: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One check that a proposal went through. `data` is what it found, for who looks closer, ready for JSON."""

    name: str
    outcome: Outcome
    detail: str
    at: str
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Proposal:
    """`commit` is the proposal's own commit, and once `landed` the one on the branch. `report` is the replay's."""

    tenant: str
    id: str
    request_id: str
    kb: str
    assistant: str
    state: State
    detail: str
    steps: tuple[Step, ...]
    report: dict[str, Any] | None
    commit: str | None
    attempts: int
    created_at: str
    updated_at: str

    @property
    def branch(self) -> str:
        return f"proposals/{self.id}"

    def with_step(self, name: str, outcome: Outcome, detail: str, **data: Any) -> Proposal:
        return replace(self, steps=(*self.steps, Step(name, outcome, detail, _now(), data)))

    def found(self, key: str) -> Any:
        """What the last step that found it has of `key`, else `None`."""
        return next((step.data[key] for step in reversed(self.steps) if key in step.data), None)


class Proposals:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def confirm(
        self, trace: Trace, verdict: Verdict, answer: str | None, note: str | None, by: str, *, curates: bool = False
    ) -> Proposal | None:
        """Record a verdict and, where there is something to learn, queue its proposal, in one transaction.

        Repeating a verdict gives the same proposal. A correction may follow a failure that had none, or one whose
        proposal came to nothing, or a success whose proposal failed, since what was confirmed does not hold. Raises
        `VerdictConflict` for another verdict or another correction. `None`: logged, nothing to learn.
        """
        given = Confirmation(trace.tenant, trace.id, verdict, answer, note, by, _now(), curates)
        with transaction(self._engine) as connection:
            if insert_missing(connection, confirmations, [asdict(given)]) == 1:
                return self._queue(connection, trace) if _teaches(given) else None
            # Locked, so that of two corrections at once the second sees the first.
            first = self._confirmation(connection, trace.tenant, trace.id, lock=True)
            assert first is not None, "a row that could not be inserted is there"
            known = self._of_request(connection, trace)
            came_to_nothing = known is None or known.state in ("failed", "rejected", "reverted")
            open_to_correction = first.verdict == "failure" or (known is not None and known.state == "failed")
            if verdict == "failure" and answer and answer != first.answer and came_to_nothing and open_to_correction:
                return self._correct(connection, trace, replace(given, note=note or first.note))
            if first.verdict != verdict or (answer and first.answer != answer):
                raise VerdictConflict(trace.id, _described(first), _described(given))
            # The same failure without a correction says nothing of a proposal that came to nothing.
            return None if came_to_nothing and not _teaches(given) else known

    def confirmation(self, tenant: str, request_id: str) -> Confirmation | None:
        with self._engine.connect() as connection:
            return self._confirmation(connection, tenant, request_id)

    def get(self, tenant: str, proposal_id: str) -> Proposal:
        """Raises `ProposalNotFound`, also for another tenant's."""
        query = select(proposals).where(proposals.c.tenant == tenant, proposals.c.id == proposal_id)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise ProposalNotFound(proposal_id)
        return _proposal(row)

    def id_of(self, tenant: str, named: str) -> str:
        """The id that a person means: the whole of it, or what it begins with, with `prop_` or without.

        Raises `ProposalNotFound`, `ProposalAmbiguous` with at most five of those that fit.
        """
        beginning = PREFIX + named.removeprefix(PREFIX)
        query = select(proposals.c.id).where(proposals.c.tenant == tenant)
        query = query.where(proposals.c.id.startswith(beginning, autoescape=True)).order_by(proposals.c.id).limit(5)
        with self._engine.connect() as connection:
            found: tuple[str, ...] = tuple(connection.scalars(query))
        if not found or beginning == PREFIX:
            raise ProposalNotFound(named)
        if len(found) > 1:
            raise ProposalAmbiguous(named, found)
        return found[0]

    def list(self, tenant: str, *, state: State | None = None, limit: int = 100) -> list[Proposal]:
        """Newest first."""
        query = select(proposals).where(proposals.c.tenant == tenant)
        if state:
            query = query.where(proposals.c.state == state)
        query = query.order_by(proposals.c.created_at.desc(), proposals.c.id).limit(limit)
        with self._engine.connect() as connection:
            return [_proposal(row) for row in connection.execute(query)]

    def lease(
        self, seconds: float, *, assistants: Collection[tuple[str, str]], only: str | None = None
    ) -> Proposal | None:
        """Take the oldest proposal that nobody works on; counts an attempt.

        `assistants` are the (tenant, name) pairs that the caller serves: another process may serve others. With
        `only`, no proposal but that one.
        """
        now = time.time()
        open_ = proposals.c.state.in_(("queued", "landing"))
        served = tuple_(proposals.c.tenant, proposals.c.assistant).in_(sorted(assistants))
        query = select(proposals).where(open_, served, proposals.c.leased_until < now)
        query = query.order_by(proposals.c.created_at).limit(1)
        if only is not None:
            query = query.where(proposals.c.id == only)
        with transaction(self._engine) as connection:
            row = connection.execute(query.with_for_update(skip_locked=True)).one_or_none()
            if row is None:
                return None
            taken = _this(row.tenant, row.id)
            change = update(proposals).where(taken).values(leased_until=now + seconds, attempts=row.attempts + 1)
            connection.execute(change)
            return replace(_proposal(row), attempts=row.attempts + 1)

    def renew(self, proposal: Proposal, seconds: float) -> None:
        """Hold on to a lease, unless another worker has taken the proposal since."""
        with transaction(self._engine) as connection:
            change = update(proposals).where(_as_read(proposal)).values(leased_until=time.time() + seconds)
            connection.execute(change)

    def keep(self, proposal: Proposal, *, retry_in_seconds: float = 0.0) -> Proposal:
        """Store where it stands and give its lease back. Raises `ProposalChanged` if another stored it since."""
        kept = replace(proposal, updated_at=_now())
        values = {
            "state": kept.state,
            "detail": kept.detail,
            "steps": [asdict(step) for step in kept.steps],
            "report": kept.report,
            "commit_id": kept.commit,
            "updated_at": kept.updated_at,
            "leased_until": time.time() + retry_in_seconds if retry_in_seconds else 0.0,
        }
        with transaction(self._engine) as connection:
            stored = connection.execute(update(proposals).where(_as_read(proposal)).values(**values)).rowcount
        if stored != 1:
            raise ProposalChanged(proposal.id)
        return kept

    def counts(self) -> dict[str, int]:
        """State → number of proposals, over all tenants: for metrics."""
        with self._engine.connect() as connection:
            query = select(proposals.c.state, func.count()).group_by(proposals.c.state)
            return {state: count for state, count in connection.execute(query)}

    def _queue(self, connection: Connection, trace: Trace) -> Proposal:
        now = _now()
        proposal = Proposal(
            tenant=trace.tenant,
            id=f"{PREFIX}{secrets.token_hex(12)}",
            request_id=trace.id,
            kb=trace.kb,
            assistant=trace.assistant,
            state="queued",
            detail="waits for its checks and its replay",
            steps=(),
            report=None,
            commit=None,
            attempts=0,
            created_at=now,
            updated_at=now,
        )
        row = asdict(proposal)
        row["base"], row["commit_id"] = row.pop("kb"), row.pop("commit")
        connection.execute(insert(proposals).values(**row, leased_until=0.0))
        return proposal

    def _confirmation(
        self, connection: Connection, tenant: str, request_id: str, *, lock: bool = False
    ) -> Confirmation | None:
        query = select(confirmations).where(confirmations.c.tenant == tenant, confirmations.c.request_id == request_id)
        row = connection.execute(query.with_for_update() if lock else query).one_or_none()
        return Confirmation(**row._mapping) if row is not None else None

    def _correct(self, connection: Connection, trace: Trace, given: Confirmation) -> Proposal:
        values = {key: value for key, value in asdict(given).items() if key not in ("tenant", "request_id")}
        connection.execute(update(confirmations).where(_is_of(trace)).values(**values))
        return self._queue(connection, trace)

    def _of_request(self, connection: Connection, trace: Trace) -> Proposal | None:
        """The newest: a correction that came to nothing may have been followed by another."""
        query = select(proposals).where(proposals.c.tenant == trace.tenant, proposals.c.request_id == trace.id)
        row = connection.execute(query.order_by(proposals.c.created_at.desc()).limit(1)).one_or_none()
        return _proposal(row) if row is not None else None


def _teaches(confirmation: Confirmation) -> bool:
    return confirmation.verdict == "success" or confirmation.answer is not None


def _described(confirmation: Confirmation) -> str:
    return f"'{confirmation.verdict}'" + (" with a correction" if confirmation.answer else "")


def _is_of(trace: Trace) -> Any:
    return (confirmations.c.tenant == trace.tenant) & (confirmations.c.request_id == trace.id)


def _this(tenant: str, proposal_id: str) -> Any:
    return (proposals.c.tenant == tenant) & (proposals.c.id == proposal_id)


def _as_read(proposal: Proposal) -> Any:
    """The proposal's row, if nobody has stored or leased it since it was read."""
    version = (proposals.c.attempts == proposal.attempts) & (proposals.c.updated_at == proposal.updated_at)
    return _this(proposal.tenant, proposal.id) & version


def _proposal(row: Row[Any]) -> Proposal:
    return Proposal(
        tenant=row.tenant,
        id=row.id,
        request_id=row.request_id,
        kb=row.base,
        assistant=row.assistant,
        state=row.state,
        detail=row.detail,
        steps=tuple(Step(**step) for step in row.steps),
        report=row.report,
        commit=row.commit_id,
        attempts=row.attempts,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _now() -> str:
    return datetime.now(UTC).isoformat()
