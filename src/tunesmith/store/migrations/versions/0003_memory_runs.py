"""Planned and measured memory of runs."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "memory_runs",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("task_id", sa.BigInteger, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("ended_at", sa.Double, nullable=False),
        sa.Column("base_model", sa.Text, nullable=False),
        sa.Column("family", sa.Text, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("device_type", sa.Text, nullable=False),
        sa.Column("mode", sa.Text, nullable=False),
        sa.Column("gradient_checkpointing", sa.Boolean, nullable=False),
        sa.Column("planned", sa.BigInteger, nullable=False),
        sa.Column("ratio", sa.Double, nullable=False),
        sa.Column("measured", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("task_id", "attempt", name="memory_runs_attempt"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "memory_runs_of_kind",
        "memory_runs",
        ["family", "method", "device_type", "mode", "id"],
    )
