"""Alembic migrations of the state database. Append-only; `kvasir init` applies them."""
