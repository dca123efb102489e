"""The knowledge base's tables. `migrations/` creates them; a test compares the two."""

from __future__ import annotations

from sqlalchemy import Column, Float, ForeignKey, Integer, LargeBinary, MetaData, String, Table, UniqueConstraint

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

bases = Table(
    "kb_bases",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("tenant", String(100), nullable=False),
    Column("name", String(100), nullable=False),
    UniqueConstraint("tenant", "name"),
)

objects = Table(
    "kb_objects",
    metadata,
    Column("base_id", Integer, ForeignKey("kb_bases.id"), primary_key=True),
    Column("object_id", String(64), primary_key=True),
    Column("data", LargeBinary, nullable=False),
    Column("written_at", Float, nullable=False),
)

refs = Table(
    "kb_refs",
    metadata,
    Column("base_id", Integer, ForeignKey("kb_bases.id"), primary_key=True),
    Column("ref", String(200), primary_key=True),
    Column("commit_id", String(64), nullable=False),
)

vectors = Table(
    "kb_vectors",
    metadata,
    Column("model", String(200), primary_key=True),
    Column("text_hash", String(64), primary_key=True),
    Column("data", LargeBinary, nullable=False),
)
