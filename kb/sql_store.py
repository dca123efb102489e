"""A store in a SQL database through SQLAlchemy: SQLite or PostgreSQL. See the contract in `store.py`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice

import numpy as np
from sqlalchemy import Connection, Engine, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from kb import tables
from kb.database import insert_missing, transaction
from kb.errors import AlreadyExists, BaseNotFound, RefMoved
from kb.store import FIND_MAX, BaseId, RefMove, Vector

BATCH = 500
"""Bound parameters a statement may carry; SQLite's oldest limit is 999."""


class SqlStore:
    """Uses `engine`, whose tables `migrations/` has made; the caller closes it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

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

    def write(self, base: BaseId, objects: Mapping[str, bytes], moves: Sequence[RefMove] = ()) -> None:
        with transaction(self._engine) as connection:
            base_id = self._base_id(connection, base)
            rows = [{"base_id": base_id, "object_id": key, "data": data} for key, data in objects.items()]
            insert_missing(connection, tables.objects, rows)
            for move in moves:
                self._move(connection, base, base_id, move)

    def read(self, base: BaseId, object_ids: Collection[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        columns = tables.objects.c
        with self._engine.connect() as connection:
            base_id = self._base_id(connection, base)
            for batch in _batches(object_ids):
                query = select(columns.object_id, columns.data).where(
                    columns.base_id == base_id, columns.object_id.in_(batch)
                )
                found.update((row.object_id, bytes(row.data)) for row in connection.execute(query))
        return found

    def find(self, base: BaseId, prefix: str) -> list[str]:
        columns = tables.objects.c
        with self._engine.connect() as connection:
            query = (
                select(columns.object_id)
                .where(
                    columns.base_id == self._base_id(connection, base),
                    columns.object_id >= prefix,
                    columns.object_id < prefix + "g",
                )
                .order_by(columns.object_id)
                .limit(FIND_MAX)
            )
            return list(connection.scalars(query))

    def refs(self, base: BaseId) -> dict[str, str]:
        columns = tables.refs.c
        with self._engine.connect() as connection:
            query = select(columns.ref, columns.commit_id).where(columns.base_id == self._base_id(connection, base))
            return {row.ref: row.commit_id for row in connection.execute(query)}

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
            {"model": model, "text_hash": text, "data": vector.astype("<f4").tobytes()}
            for text, vector in vectors.items()
        ]
        with transaction(self._engine) as connection:
            insert_missing(connection, tables.vectors, rows)

    def _base_id(self, connection: Connection, base: BaseId) -> int:
        columns = tables.bases.c
        query = select(columns.id).where(columns.tenant == base.tenant, columns.name == base.name)
        base_id: int | None = connection.scalar(query)
        if base_id is None:
            raise BaseNotFound(base.name)
        return base_id

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


def _batches(values: Collection[str]) -> Iterator[list[str]]:
    iterator = iter(values)
    while batch := list(islice(iterator, BATCH)):
        yield batch
