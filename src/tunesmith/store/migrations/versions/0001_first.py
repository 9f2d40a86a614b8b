"""The first tables: tasks, specs, attempts, events."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_id = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    _create_tasks()
    op.create_table(
        "specs",
        sa.Column("task_id", _id, sa.ForeignKey("tasks.id"), primary_key=True),
        sa.Column("spec", sa.Text, nullable=False),
    )
    op.create_table(
        "attempts",
        sa.Column("task_id", _id, sa.ForeignKey("tasks.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("run_directory", sa.Text, nullable=False),
        sa.Column("handle", sa.Text),
        sa.Column("devices", sa.JSON, nullable=False),
        sa.Column("events_offset", sa.BigInteger, nullable=False),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.Double),
    )
    op.create_table(
        "events",
        sa.Column("id", _id, primary_key=True),
        sa.Column("task_id", _id, sa.ForeignKey("tasks.id"), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("seq", sa.BigInteger),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("step", sa.BigInteger),
        sa.Column("data", sa.JSON, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("events_of_task", "events", ["task_id", "id"])


def _create_tasks() -> None:
    op.create_table(
        "tasks",
        sa.Column("id", _id, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("delete_requested_at", sa.Double),
        sa.Column("stop_requested_at", sa.Double),
        sa.Column("started_at", sa.Double),
        sa.Column("finished_at", sa.Double),
        sa.Column("user_id", sa.BigInteger),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("pid", sa.Integer),
        sa.Column("checked", sa.Boolean, nullable=False),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("total_steps", sa.BigInteger),
        sa.Column(
            "progress",
            sa.Double,
            sa.Computed(
                "CASE WHEN status = 'completed' THEN 100.0"
                " WHEN total_steps > 0 THEN 100.0 * step / total_steps ELSE 0.0 END",
                persisted=True,
            ),
            nullable=False,
        ),
        sa.Column("epoch", sa.Double, nullable=False),
        sa.Column("tokens_per_second", sa.Double),
        sa.Column("eta_seconds", sa.Double),
        sa.Column("reported_at", sa.Double),
        sa.Column("phase", sa.Text),
        sa.Column("devices", sa.JSON, nullable=False),
        sa.Column("search_name", sa.Text, nullable=False),
        sa.Column("search_base_model", sa.Text, nullable=False),
        sa.Column("search_text", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("base_model", sa.Text, nullable=False),
        sa.Column("dataset_path", sa.Text, nullable=False),
        sa.Column("output_path", sa.Text, nullable=False),
        sa.Column("active_output", sa.Text),
        sa.Column("command", sa.Text, nullable=False),
        sa.Column("log_path", sa.Text, nullable=False),
        sa.Column("metrics", sa.JSON, nullable=False),
        sa.Column("queue_reason", sa.JSON),
        sa.Column("error", sa.JSON),
        sa.Column("description", sa.Text),
        sa.UniqueConstraint("active_output", name="tasks_active_output"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "tasks_by_status", "tasks", ["status", "delete_requested_at", "id", "search_name"]
    )
    op.create_index("tasks_by_id", "tasks", ["delete_requested_at", "id", "search_name"])
