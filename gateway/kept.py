"""What the gateway's tables name in a knowledge base, so that `gc` leaves it: any stored trace stays readable."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from sqlalchemy import Engine, select

from gateway.settings import Settings
from gateway.tables import eval_baselines, proposals, requests, turns
from kb.errors import CommitNotFound
from kb.knowledge_base import KnowledgeBase

ROWS_AT_ONCE = 1000


def kept_ids(database: Engine, settings: Settings, base: KnowledgeBase) -> set[str]:
    """Commits and items that traces, sessions, proposals and baselines name, and assistants' pinned commits."""
    tenant, name = base.id.tenant, base.name
    return {
        *_of_traces(database, tenant, name),
        *_of_sessions(database, tenant, name),
        *_of_proposals(database, tenant, name),
        *_of_baselines(database, settings, base),
        *_pinned(settings, base),
    }


def _pinned(settings: Settings, base: KnowledgeBase) -> Iterator[str]:
    for entry in settings.assistants.values():
        if (entry.tenant, entry.kb) == (base.id.tenant, base.name) and entry.commit:
            with suppress(CommitNotFound):
                yield base.resolve(entry.commit).id


def _of_traces(database: Engine, tenant: str, base: str) -> Iterator[str]:
    # Of the trace only its items: the prompts beside them are long.
    query = select(requests.c.commit_id, requests.c.trace["items"].label("items"))
    query = query.where(requests.c.tenant == tenant, requests.c.base == base)
    with database.connect() as connection:
        for row in connection.execution_options(yield_per=ROWS_AT_ONCE).execute(query):
            yield row.commit_id
            yield from (item["item_hash"] for item in row.items or ())


def _of_sessions(database: Engine, tenant: str, base: str) -> Iterator[str]:
    query = select(turns.c.placements).where(turns.c.tenant == tenant, turns.c.base == base)
    with database.connect() as connection:
        for placements in connection.execution_options(yield_per=ROWS_AT_ONCE).scalars(query):
            for turn in (placements["system"], *placements["turns"]):
                yield from (item_hash for _, item_hash, *_ in turn)


def _of_proposals(database: Engine, tenant: str, base: str) -> Iterator[str]:
    query = select(proposals.c.commit_id, proposals.c.report)
    query = query.where(proposals.c.tenant == tenant, proposals.c.base == base)
    with database.connect() as connection:
        for row in connection.execution_options(yield_per=ROWS_AT_ONCE).execute(query):
            report = row.report or {}
            yield from (commit for commit in (row.commit_id, report.get("base"), report.get("head")) if commit)


def _of_baselines(database: Engine, settings: Settings, base: KnowledgeBase) -> Iterator[str]:
    assistants = [n for n, e in settings.assistants.items() if (e.tenant, e.kb) == (base.id.tenant, base.name)]
    query = select(eval_baselines.c.commit_id)
    query = query.where(eval_baselines.c.tenant == base.id.tenant, eval_baselines.c.assistant.in_(assistants))
    with database.connect() as connection:
        yield from connection.scalars(query)
