"""A store in a SQL database through SQLAlchemy: SQLite or PostgreSQL. See the contract in `store.py`."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np
from sqlalchemy import (
    Connection,
    Engine,
    LargeBinary,
    Select,
    bindparam,
    cast,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError

from kb import tables
from kb.database import insert_missing, transaction
from kb.errors import AlreadyExists, BaseNotFound, ObjectCorrupt, RefMoved
from kb.head_watch import CHANNEL
from kb.store import FIND_MAX, BaseId, Delete, RefMove, StoredObject, Vector

BATCH = 500
"""Bound parameters a statement may carry; SQLite's oldest limit is 999."""

PAGE = 10_000
"""Objects that `SqlStore.objects` reads at once."""

# Statements are made once: making one takes SQLAlchemy as long as running it takes SQLite.
_BASE_ID = select(tables.bases.c.id).where(
    tables.bases.c.tenant == bindparam("tenant"), tables.bases.c.name == bindparam("name")
)
_OF_BASE = _BASE_ID.scalar_subquery()
"""For use inside of another query, which spares one."""

# The cast makes bytes of what someone wrote into a SQLite file by hand, so that it is told as damage.
_READ = select(tables.objects.c.object_id, cast(tables.objects.c.data, LargeBinary).label("data")).where(
    tables.objects.c.base_id == _OF_BASE, tables.objects.c.object_id.in_(bindparam("object_ids", expanding=True))
)
_REFS = select(tables.refs.c.ref, tables.refs.c.commit_id).where(tables.refs.c.base_id == _OF_BASE)

_WRITERS = 0x6B767772
"""The first key of the advisory lock that writers share and `gc` takes alone; the second is the base's id."""


class SqlStore:
    """Uses `engine`, whose tables `migrations/` has made; the caller closes it."""

    def __init__(self, engine: Engine, *, now: Callable[[], float] = time.time) -> None:
        self._engine, self._now = engine, now

    def create_base(self, base: BaseId) -> None:
        try:
            with transaction(self._engine) as connection:
                connection.execute(insert(tables.bases).values(tenant=base.tenant, name=base.name))
        except IntegrityError as exc:
            raise AlreadyExists("knowledge base", base.name) from exc

    def bases(self, tenant: str) -> list[str]:
        query = select(tables.bases.c.name).where(tables.bases.c.tenant == tenant).order_by(tables.bases.c.name)
        with self._engine.connect() as connection:
            return list(connection.scalars(query))

    def write(
        self,
        base: BaseId,
        objects: Mapping[str, bytes],
        moves: Sequence[RefMove] = (),
        *,
        present: Collection[str] = (),
    ) -> None:
        with transaction(self._engine) as connection:
            base_id = self._base_id(connection, base)
            _lock_writers(connection, base_id, alone=False)
            self._require(connection, base, base_id, present)
            # First, so that a writer that lost the race does no more work under the lock.
            for move in moves:
                self._move(connection, base, base_id, move)
            if moves:
                _tell(connection, base)
            now = self._now()
            rows = [
                {"base_id": base_id, "object_id": key, "data": data, "written_at": now} for key, data in objects.items()
            ]
            insert_missing(connection, tables.objects, rows)

    def read(self, base: BaseId, object_ids: Collection[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        with self._engine.connect() as connection:
            for batch in _batches(object_ids):
                rows = connection.execute(_READ, {"tenant": base.tenant, "name": base.name, "object_ids": batch})
                found.update((row.object_id, bytes(row.data)) for row in rows)
            if not found:
                self._base_id(connection, base)
        return found

    def find(self, base: BaseId, prefix: str) -> list[str]:
        columns = tables.objects.c
        with self._engine.connect() as connection:
            query = (
                select(columns.object_id)
                .where(
                    columns.base_id == self._base_id(connection, base),
                    columns.object_id >= prefix,
                    columns.object_id < prefix + "g",  # the letter after the last hexadecimal digit
                )
                .order_by(columns.object_id)
                .limit(FIND_MAX)
            )
            return list(connection.scalars(query))

    def objects(self, base: BaseId, *, written_after: float | None = None) -> Iterator[StoredObject]:
        columns = tables.objects.c
        with self._engine.connect() as connection:
            base_id = self._base_id(connection, base)
        query = select(columns.object_id, func.length(columns.data), columns.written_at)
        query = query.where(columns.base_id == base_id).order_by(columns.object_id).limit(PAGE)
        if written_after is not None:
            query = query.where(columns.written_at > written_after)
        # Paged by id, so that no transaction stays open while the caller works.
        after = ""
        while rows := self._page(query.where(columns.object_id > after)):
            yield from rows
            after = rows[-1].id

    def _page(self, query: Select[Any]) -> list[StoredObject]:
        with self._engine.connect() as connection:
            return [StoredObject(row[0], row[1], row[2]) for row in connection.execute(query)]

    @contextmanager
    def writers_held(self, base: BaseId) -> Iterator[Delete]:
        columns = tables.objects.c
        with transaction(self._engine) as connection:
            base_id = self._base_id(connection, base)
            _lock_writers(connection, base_id, alone=True)

            def remove(object_ids: Collection[str]) -> None:
                for batch in _batches(object_ids):
                    doomed = (columns.base_id == base_id) & columns.object_id.in_(batch)
                    connection.execute(delete(tables.objects).where(doomed))

            yield remove

    def refs(self, base: BaseId) -> dict[str, str]:
        with self._engine.connect() as connection:
            rows = connection.execute(_REFS, {"tenant": base.tenant, "name": base.name})
            found = {row.ref: row.commit_id for row in rows}
            if not found:
                self._base_id(connection, base)
        return found

    def vectors(self, model: str, text_hashes: Collection[str]) -> dict[str, Vector]:
        found: dict[str, Vector] = {}
        columns = tables.vectors.c
        with self._engine.connect() as connection:
            for batch in _batches(text_hashes):
                query = select(columns.text_hash, columns.data).where(
                    columns.model == model, columns.text_hash.in_(batch)
                )
                for row in connection.execute(query):
                    found[row.text_hash] = np.frombuffer(row.data, dtype="<f4").astype(np.float32)
        return found

    def put_vectors(self, model: str, vectors: Mapping[str, Vector]) -> None:
        rows = [
            {"model": model, "text_hash": key, "data": vector.astype("<f4").tobytes()}
            for key, vector in vectors.items()
        ]
        with transaction(self._engine) as connection:
            insert_missing(connection, tables.vectors, rows)

    def _base_id(self, connection: Connection, base: BaseId) -> int:
        """Raises `BaseNotFound`."""
        base_id: int | None = connection.scalar(_BASE_ID, {"tenant": base.tenant, "name": base.name})
        if base_id is None:
            raise BaseNotFound(base.name)
        return base_id

    def _require(self, connection: Connection, base: BaseId, base_id: int, present: Collection[str]) -> None:
        columns = tables.objects.c
        for batch in _batches(present):
            query = select(columns.object_id).where(columns.base_id == base_id, columns.object_id.in_(batch))
            for missing in sorted(set(batch) - set(connection.scalars(query))):
                raise ObjectCorrupt(base.name, missing, "is missing")

    def _move(self, connection: Connection, base: BaseId, base_id: int, move: RefMove) -> None:
        columns = tables.refs.c
        this_ref = (columns.base_id == base_id) & (columns.ref == move.ref)
        if move.expected is None and move.new is None:
            moved = int(connection.scalar(select(columns.ref).where(this_ref)) is None)
        elif move.expected is None:
            row = {"base_id": base_id, "ref": move.ref, "commit_id": move.new}
            moved = insert_missing(connection, tables.refs, [row])
        elif move.new is None:
            statement = delete(tables.refs).where(this_ref, columns.commit_id == move.expected)
            moved = connection.execute(statement).rowcount
        else:
            change = update(tables.refs).where(this_ref, columns.commit_id == move.expected)
            moved = connection.execute(change.values(commit_id=move.new)).rowcount
        if moved != 1:
            found = connection.scalar(select(columns.commit_id).where(this_ref))
            raise RefMoved(base.name, move.ref, move.expected, found)


def _lock_writers(connection: Connection, base_id: int, *, alone: bool) -> None:
    """Keep `gc` and the writers of a base apart until the transaction ends; SQLite's write lock does it by itself.

    Advisory, because PostgreSQL queues it fairly: shared row locks that overlap would keep `gc` waiting for ever.
    """
    if connection.dialect.name == "postgresql":
        lock = "pg_advisory_xact_lock" if alone else "pg_advisory_xact_lock_shared"
        connection.execute(text(f"SELECT {lock}(:kind, :base)"), {"kind": _WRITERS, "base": base_id})


def _tell(connection: Connection, base: BaseId) -> None:
    """Whoever watches heads is told when the transaction ends; those who watch a SQLite file see that by themselves."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_notify(:channel, :base)"), {"channel": CHANNEL, "base": str(base)})


def _batches(values: Collection[str]) -> Iterator[list[str]]:
    iterator = iter(values)
    while batch := list(islice(iterator, BATCH)):
        yield batch
