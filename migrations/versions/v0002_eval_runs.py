"""Runs of suites are kept, and one of them may be a suite's baseline"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "eval_runs",
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("created_at", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("suite", sa.Text(), nullable=False),
        sa.Column("assistant", sa.String(length=100), nullable=False),
        sa.Column("base_commit", sa.String(length=64), nullable=True),
        sa.Column("commit_id", sa.String(length=64), nullable=False),
        sa.Column("baseline_run", sa.String(length=40), nullable=True),
        sa.Column("verdict", sa.String(length=20), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_eval_runs")),
    )
    with op.batch_alter_table("eval_runs", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_eval_runs_tenant_created_at"), ["tenant", "created_at"], unique=False)

    op.create_table(
        "eval_baselines",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("suite", sa.Text(), nullable=False),
        sa.Column("assistant", sa.String(length=100), nullable=False),
        sa.Column("run_id", sa.String(length=40), nullable=False),
        sa.Column("commit_id", sa.String(length=64), nullable=False),
        sa.Column("blessed_by", sa.String(length=200), nullable=False),
        sa.Column("blessed_at", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_eval_baselines")),
    )
    with op.batch_alter_table("eval_baselines", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_eval_baselines_tenant_assistant"), ["tenant", "assistant"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("eval_baselines", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_eval_baselines_tenant_assistant"))

    op.drop_table("eval_baselines")
    with op.batch_alter_table("eval_runs", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_eval_runs_tenant_created_at"))

    op.drop_table("eval_runs")
