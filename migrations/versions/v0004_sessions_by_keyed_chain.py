"""Sessions are found by a keyed chain, also where a client dropped or rewrote messages; they expire

What the old chains named is dropped: an open conversation begins a new session with its next turn.
"""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_table("session_turns")
    op.create_table(
        "session_turns",
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("chain", sa.String(length=64), nullable=False),
        sa.Column("tail", sa.String(length=64), nullable=True),
        sa.Column("assistant", sa.String(length=100), nullable=False),
        sa.Column("base", sa.String(length=100), nullable=False),
        sa.Column("session_id", sa.String(length=64), nullable=False),
        sa.Column("digests", sa.JSON(), nullable=False),
        sa.Column("placements", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "chain", name=op.f("pk_session_turns")),
    )
    with op.batch_alter_table("session_turns", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_session_turns_tenant_tail"), ["tenant", "tail"], unique=False)
        batch_op.create_index(batch_op.f("ix_session_turns_created_at"), ["created_at"], unique=False)
    made = op.create_table(
        "secrets",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("value", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_secrets")),
    )
    # By the operating system's source of randomness, one for each state database.
    op.bulk_insert(made, [{"name": "message chain", "value": secrets.token_hex(32)}])


def downgrade() -> None:
    op.drop_table("secrets")
    op.drop_table("session_turns")
    op.create_table(
        "session_turns",
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("assistant", sa.String(length=100), nullable=False),
        sa.Column("user", sa.String(length=200), nullable=False),
        sa.Column("chain", sa.String(length=64), nullable=False),
        sa.Column("session_id", sa.String(length=64), nullable=False),
        sa.Column("placements", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "assistant", "user", "chain", name=op.f("pk_session_turns")),
    )
