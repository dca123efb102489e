"""Runs migrations on the connection that `kb.database.upgrade` hands over."""

from __future__ import annotations

from alembic import context

import gateway.tables
import kb.tables

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=[kb.tables.metadata, gateway.tables.metadata],
    render_as_batch=True,
)
context.run_migrations()
