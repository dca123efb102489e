"""Which commits' KV the caches of engines hold, and which of them are to be given back: kept in the state database.

So a gateway that was stopped finds what it had not given back yet, and sees that a head moved while it was down; and
gateways that share a database see what one of them has warmed. A row is written once a commit's prefixes are warm or
the commit is read, and deleted once the cache has taken its release.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Engine, delete, func, select, update

from gateway.tables import cached_commits
from kb.database import insert_missing, transaction
from kb.store import BaseId

_columns = cached_commits.c


@dataclass(frozen=True, slots=True)
class CachedCommit:
    """`release_at`, in seconds since 1970, is `None` while the commit is read, or about to be."""

    base: BaseId
    commit: str
    cache_url: str
    release_at: float | None

    def is_due(self, now: float) -> bool:
        return self.release_at is not None and self.release_at <= now


class CachedCommits:
    """Raises what SQLAlchemy raises. Every call may be repeated, by several gateways at once."""

    def __init__(self, database: Engine) -> None:
        self._database = database

    def of(self, base: BaseId, urls: Collection[str]) -> list[CachedCommit]:
        query = select(cached_commits).where(_columns.tenant == base.tenant, _columns.base == base.name)
        with self._database.connect() as connection:
            rows = connection.execute(query.where(_columns.cache_url.in_(urls))).all()
        return [CachedCommit(base, row.commit_id, row.cache_url, row.release_at) for row in rows]

    def add(self, base: BaseId, commit: str, urls: Collection[str]) -> None:
        """These caches hold the commit's KV. One that was to be given back stays after all."""
        rows = [
            {"tenant": base.tenant, "base": base.name, "commit_id": commit, "cache_url": url, "release_at": None}
            for url in urls
        ]
        these = (_columns.tenant == base.tenant) & (_columns.base == base.name) & (_columns.commit_id == commit)
        with transaction(self._database) as connection:
            insert_missing(connection, cached_commits, rows)
            kept = update(cached_commits).where(these, _columns.cache_url.in_(urls))
            connection.execute(kept.values(release_at=None))

    def leave(self, base: BaseId, read: Collection[str], urls: Collection[str], release_at: float) -> None:
        """Of the base's commits only `read` are read now: the others are given back then, unless they already have
        their time."""
        left = (_columns.tenant == base.tenant) & (_columns.base == base.name) & _columns.commit_id.not_in(read)
        change = update(cached_commits).where(left, _columns.cache_url.in_(urls), _columns.release_at.is_(None))
        with transaction(self._database) as connection:
            connection.execute(change.values(release_at=release_at))

    def due(self, urls: Collection[str], now: float) -> list[CachedCommit]:
        """What is to be given back, the longest overdue first."""
        query = select(cached_commits).where(_columns.cache_url.in_(urls), _columns.release_at <= now)
        with self._database.connect() as connection:
            rows = connection.execute(query.order_by(_columns.release_at)).all()
        return [CachedCommit(BaseId(r.tenant, r.base), r.commit_id, r.cache_url, r.release_at) for r in rows]

    def next_release(self, urls: Collection[str], *, after: float) -> float | None:
        query = select(func.min(_columns.release_at)).where(_columns.cache_url.in_(urls), _columns.release_at > after)
        with self._database.connect() as connection:
            found: float | None = connection.scalar(query)
        return found

    def forget(self, given_back: CachedCommit) -> None:
        """The cache took its release. Whoever reads it again meanwhile keeps its row."""
        this = (
            (_columns.tenant == given_back.base.tenant)
            & (_columns.base == given_back.base.name)
            & (_columns.commit_id == given_back.commit)
            & (_columns.cache_url == given_back.cache_url)
            & _columns.release_at.is_not(None)
        )
        with transaction(self._database) as connection:
            connection.execute(delete(cached_commits).where(this))
