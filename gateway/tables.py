"""The gateway's tables: traces, sessions, confirmations, proposals, API keys, secrets, replay answers, cached commits.

They share the state database with `kb.tables`; `migrations/` creates them; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text, false

from kb import tables as kb_tables

metadata = MetaData(naming_convention=kb_tables.metadata.naming_convention)

requests = Table(
    "requests",
    metadata,
    Column("tenant", String(100), primary_key=True),
    Column("id", String(40), primary_key=True),
    Column("created_at", String(40), nullable=False),
    Column("assistant", String(100), nullable=False),
    Column("base", String(100), nullable=False),
    Column("commit_id", String(64), nullable=False),
    Column("session_id", String(64), nullable=False),
    Column("user", String(200), nullable=False),
    Column("status", String(20), nullable=False),
    Column("question", Text, nullable=False),
    Column("answer", Text, nullable=True),
    Column("prompt_hash", String(64), nullable=True),
    Column("trace", JSON, nullable=False),
    Index(None, "tenant", "created_at"),
)

turns = Table(
    "session_turns",
    metadata,
    Column("tenant", String(100), primary_key=True),
    Column("chain", String(64), primary_key=True),
    Column("tail", String(64), nullable=True),
    Column("assistant", String(100), nullable=False),
    Column("base", String(100), nullable=False),
    Column("session_id", String(64), nullable=False),
    Column("digests", JSON, nullable=False),
    Column("placements", JSON, nullable=False),
    Column("created_at", String(40), nullable=False),
    Index(None, "tenant", "tail"),
    Index(None, "created_at"),
)

secrets = Table(
    "secrets",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", String(200), nullable=False),
)

confirmations = Table(
    "confirmations",
    metadata,
    Column("tenant", String(100), primary_key=True),
    Column("request_id", String(40), primary_key=True),
    Column("verdict", String(10), nullable=False),
    Column("answer", Text, nullable=True),
    Column("note", Text, nullable=True),
    Column("confirmed_by", String(200), nullable=False),
    Column("created_at", String(40), nullable=False),
    Column("curates", Boolean, nullable=False, server_default=false()),
)

proposals = Table(
    "proposals",
    metadata,
    Column("tenant", String(100), primary_key=True),
    Column("id", String(40), primary_key=True),
    Column("request_id", String(40), nullable=False),
    Column("base", String(100), nullable=False),
    Column("assistant", String(100), nullable=False),
    Column("state", String(20), nullable=False),
    Column("detail", Text, nullable=False),
    Column("steps", JSON, nullable=False),
    Column("report", JSON, nullable=True),
    Column("commit_id", String(64), nullable=True),
    Column("attempts", Integer, nullable=False),
    Column("leased_until", Float, nullable=False),
    Column("created_at", String(40), nullable=False),
    Column("updated_at", String(40), nullable=False),
    Index(None, "state", "leased_until"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_hash", String(64), primary_key=True),
    Column("tenant", String(100), nullable=False),
    Column("name", String(100), nullable=False),
    Column("roles", JSON, nullable=False),
    Column("created_at", String(40), nullable=False),
    Column("revoked", Boolean, nullable=False),
)

replay_answers = Table(
    "replay_answers",
    metadata,
    Column("tenant", String(100), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("repeat", Integer, primary_key=True),
    Column("answer", Text, nullable=False),
    Column("created_at", String(40), nullable=False),
)

eval_runs = Table(
    "eval_runs",
    metadata,
    Column("tenant", String(100), primary_key=True),
    Column("id", String(40), primary_key=True),
    Column("created_at", String(40), nullable=False),
    Column("kind", String(10), nullable=False),
    Column("suite", Text, nullable=False),
    Column("assistant", String(100), nullable=False),
    Column("base_commit", String(64), nullable=True),
    Column("commit_id", String(64), nullable=False),
    Column("baseline_run", String(40), nullable=True),
    Column("verdict", String(20), nullable=False),
    Column("counts", JSON, nullable=False),
    Column("report", JSON, nullable=False),
    Index(None, "tenant", "created_at"),
)

eval_baselines = Table(
    "eval_baselines",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("tenant", String(100), nullable=False),
    Column("suite", Text, nullable=False),
    Column("assistant", String(100), nullable=False),
    Column("run_id", String(40), nullable=False),
    Column("commit_id", String(64), nullable=False),
    Column("blessed_by", String(200), nullable=False),
    Column("blessed_at", String(40), nullable=False),
    Index(None, "tenant", "assistant"),
)

cached_commits = Table(
    "cached_commits",
    metadata,
    Column("tenant", String(100), primary_key=True),
    Column("base", String(100), primary_key=True),
    Column("commit_id", String(64), primary_key=True),
    Column("cache_url", String(300), primary_key=True),
    Column("release_at", Float, nullable=True),
)
