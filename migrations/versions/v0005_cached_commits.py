"""Which commits' KV an engine's cache holds, and when it is given back"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cached_commits",
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("base", sa.String(length=100), nullable=False),
        sa.Column("commit_id", sa.String(length=64), nullable=False),
        sa.Column("cache_url", sa.String(length=300), nullable=False),
        sa.Column("release_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "base", "commit_id", "cache_url", name=op.f("pk_cached_commits")),
    )


def downgrade() -> None:
    op.drop_table("cached_commits")
