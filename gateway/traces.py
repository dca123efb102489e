"""Traces: all that is known of one request, kept for `GET /v1/requests/{id}` and for its confirmation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import Connection, Engine, insert, select

from backend.engine import Message
from gateway.errors import RequestNotFound
from gateway.prompt import Order, Part
from gateway.tables import requests
from kb.database import transaction

Status = Literal["answered", "failed"]
ROWS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Retrieved:
    """An item that was retrieved, its content hash and why. All of them stand in the prompt."""

    id: str
    item_hash: str
    kind: str
    title: str
    score: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """`answered_by` is `engine`, or `verified` for a confirmed answer. Timings are in seconds.

    `error` says, for a failed request, what the client was told. `parts` say which text of `prompt` is whose, and are
    empty in traces of gateways that did not keep them. With `prompt_order` planned, the parts alone say where a
    layer's items stand; a replay has them in canonical order. `replica` is which of several answered.
    """

    id: str
    tenant: str
    created_at: str
    assistant: str
    kb: str
    commit: str
    session_id: str
    user: str
    status: Status
    messages: tuple[Message, ...]
    question: str
    items: tuple[Retrieved, ...]
    prompt: tuple[Message, ...]
    prompt_hash: str
    prompt_tokens: int | None = None
    answer: str | None = None
    answered_by: str | None = None
    verified_by: str | None = None
    engine: str | None = None
    engine_model: str | None = None
    usage: dict[str, Any] | None = None
    verification: dict[str, Any] | None = None
    timings: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    parts: tuple[Part, ...] = ()
    stable_prefix_tokens: int | None = None
    prompt_order: Order = "canonical"
    replica: str | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """What tells a request from others in a list; `verification` is the status of its check."""

    id: str
    created_at: str
    assistant: str
    session_id: str
    user: str
    status: Status
    question: str
    answer: str | None
    error: str | None
    answered_by: str | None
    verified_by: str | None
    engine: str | None
    verification: str | None
    total_seconds: float | None


@dataclass(frozen=True, slots=True)
class Use:
    """A request that had an item in its prompt."""

    request_id: str
    question: str
    created_at: str
    answered_by: str | None


class Traces:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def keep(self, trace: Trace) -> None:
        with transaction(self._engine) as connection:
            self.add(connection, trace)

    def add(self, connection: Connection, trace: Trace) -> None:
        """The same within a transaction of the caller's."""
        row = {
            "tenant": trace.tenant,
            "id": trace.id,
            "created_at": trace.created_at,
            "assistant": trace.assistant,
            "base": trace.kb,
            "commit_id": trace.commit,
            "session_id": trace.session_id,
            "user": trace.user,
            "status": trace.status,
            "question": trace.question,
            "answer": trace.answer,
            "prompt_hash": trace.prompt_hash,
            "trace": _stored(trace),
        }
        connection.execute(insert(requests), row)

    def recent(self, tenant: str, assistant: str | None, limit: int) -> list[Trace]:
        """The last requests of the assistant, or of all, newest first."""
        return list(self.newest(tenant, assistant, limit))

    def newest(self, tenant: str, assistant: str | None, limit: int) -> Iterator[Trace]:
        """The same, one after the other."""
        query = select(requests.c.trace).where(requests.c.tenant == tenant)
        if assistant is not None:
            query = query.where(requests.c.assistant == assistant)
        newest = query.order_by(requests.c.created_at.desc(), requests.c.id).limit(limit)
        with self._engine.connect() as connection:
            for stored in connection.execution_options(yield_per=ROWS_AT_ONCE).scalars(newest):
                yield _trace(stored)

    def summaries(self, tenant: str, assistant: str | None, limit: int) -> list[Summary]:
        """Of the same requests; their traces stay in the database."""
        trace, columns = requests.c.trace, requests.c
        query = select(
            columns.id,
            columns.created_at,
            columns.assistant,
            columns.session_id,
            columns.user,
            columns.status,
            columns.question,
            columns.answer,
            *(trace[name].as_string().label(name) for name in ("error", "answered_by", "verified_by", "engine")),
            trace["verification", "status"].as_string().label("verification"),
            trace["timings", "total_seconds"].as_float().label("total_seconds"),
        ).where(columns.tenant == tenant)
        if assistant is not None:
            query = query.where(columns.assistant == assistant)
        newest = query.order_by(columns.created_at.desc(), columns.id).limit(limit)
        with self._engine.connect() as connection:
            return [Summary(**row._mapping) for row in connection.execute(newest)]

    def in_order(self, tenant: str, *, since: str = "") -> Iterator[Trace]:
        """The tenant's requests from the time `since` on, oldest first."""
        query = select(requests.c.trace).where(requests.c.tenant == tenant, requests.c.created_at >= since)
        ordered = query.order_by(requests.c.created_at, requests.c.id)
        with self._engine.connect() as connection:
            for stored in connection.execution_options(yield_per=ROWS_AT_ONCE).scalars(ordered):
                yield _trace(stored)

    def get(self, tenant: str, request_id: str) -> Trace:
        """Raises `RequestNotFound`, also for a request of another tenant."""
        query = select(requests.c.trace).where(requests.c.tenant == tenant, requests.c.id == request_id)
        with self._engine.connect() as connection:
            stored = connection.scalar(query)
        if stored is None:
            raise RequestNotFound(request_id)
        return _trace(stored)

    def reach(self, tenant: str, kb: str, recent: int) -> tuple[int, dict[str, int]]:
        """How many of the base's `recent` last requests went to an engine, and item id → in how many it was needed."""
        query = (
            select(requests.c.trace["items"].label("items"), requests.c.trace["engine"].as_string().label("engine"))
            .where(requests.c.tenant == tenant, requests.c.base == kb)
            .order_by(requests.c.created_at.desc(), requests.c.id)
            .limit(recent)
        )
        counted, needed = 0, Counter[str]()
        with self._engine.connect() as connection:
            for row in connection.execution_options(yield_per=ROWS_AT_ONCE).execute(query):
                if row.engine is not None:
                    counted += 1
                    needed.update(item["id"] for item in row.items or ())
        return counted, dict(needed)

    def that_used(self, tenant: str, kb: str, items: Collection[str], *, since: str) -> list[Use]:
        """Requests from the time `since` on that one of these items was retrieved for, oldest first, and those that
        carried on their conversations: what a turn placed stays in its prompt.
        """
        query = select(
            requests.c.id,
            requests.c.question,
            requests.c.created_at,
            requests.c.session_id,
            requests.c.trace["items"].label("items"),
            requests.c.trace["answered_by"].label("answered_by"),
        ).where(requests.c.tenant == tenant, requests.c.base == kb, requests.c.created_at >= since)
        used: list[Use] = []
        sessions: set[str] = set()
        with self._engine.connect() as connection:
            ordered = query.order_by(requests.c.created_at, requests.c.id)
            for row in connection.execution_options(yield_per=ROWS_AT_ONCE).execute(ordered):
                if row.session_id in sessions or any(item["id"] in items for item in row.items or ()):
                    sessions.add(row.session_id)
                    used.append(Use(row.id, row.question, row.created_at, row.answered_by))
        return used


def _stored(trace: Trace) -> dict[str, Any]:
    """What `_trace` reads. `asdict` would copy every value in it, which takes as long as to store it."""
    return {**_fields(trace), "items": [*map(_fields, trace.items)], "parts": [*map(_fields, trace.parts)]}


def _fields(record: Trace | Retrieved | Part) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__slots__}


def _trace(stored: dict[str, Any]) -> Trace:
    items = tuple(Retrieved(**{**item, "reasons": tuple(item["reasons"])}) for item in stored.pop("items"))
    messages, prompt = tuple(stored.pop("messages")), tuple(stored.pop("prompt"))
    parts = tuple(Part(**part) for part in stored.pop("parts", ()))
    return Trace(items=items, messages=messages, prompt=prompt, parts=parts, **stored)
