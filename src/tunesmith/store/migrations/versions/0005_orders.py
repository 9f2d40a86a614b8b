"""Indexes for the orders of the task list."""

from alembic import op

revision = "0005"
down_revision = "0004"

# The order of time comes last: of indexes that are as good, SQLite takes the newest, and a search
# that has to read the rows reads them twice as fast where they lie in order.
COLUMNS = {
    "name": "search_name",
    "progress": "progress",
    "base_model": "search_base_model",
    "started": "started_at",
    "finished": "finished_at",
    "created": "created_at",
}


def upgrade() -> None:
    op.create_index("tasks_ordered_by_status", "tasks", ["delete_requested_at", "status", "id"])
    for name, column in COLUMNS.items():
        indexed = ["delete_requested_at", column, "id", "status"]
        op.create_index(f"tasks_ordered_by_{name}", "tasks", indexed)
