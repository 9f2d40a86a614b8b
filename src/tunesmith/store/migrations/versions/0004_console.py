"""Indexes for what the console asks: base models in use, and events by type."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_index("tasks_by_base_model", "tasks", ["base_model", "delete_requested_at", "id"])
    op.create_index("events_by_type", "events", ["task_id", "type", "id"])
