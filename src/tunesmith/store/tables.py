"""The tables. `migrations/` makes them; a test holds the two equal.

Times are Unix seconds. Texts are what a person typed, and beside those that lists filter by lies
a `search_` copy, case-folded in Python: the LIKE and lower() of SQLite know ASCII only.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Computed,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

# SQLite counts up only a column that is declared INTEGER.
_Id = BigInteger().with_variant(Integer, "sqlite")
_Json = JSON(none_as_null=True)

tasks = Table(
    "tasks",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("status", Text, nullable=False),
    Column("delete_requested_at", Double),
    Column("stop_requested_at", Double),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("user_id", BigInteger),
    Column("attempt", Integer, nullable=False),
    Column("pid", Integer),
    Column("checked", Boolean, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("total_steps", BigInteger),
    Column(
        "progress",
        Double,
        Computed(
            "CASE WHEN status = 'completed' THEN 100.0"
            " WHEN total_steps > 0 THEN 100.0 * step / total_steps ELSE 0.0 END",
            persisted=True,
        ),
        nullable=False,
    ),
    Column("epoch", Double, nullable=False),
    Column("tokens_per_second", Double),
    Column("eta_seconds", Double),
    Column("reported_at", Double),
    Column("phase", Text),
    Column("devices", _Json, nullable=False),
    Column("search_name", Text, nullable=False),
    Column("search_base_model", Text, nullable=False),
    Column("search_text", Text, nullable=False),  # name and description
    Column("name", Text, nullable=False),
    Column("base_model", Text, nullable=False),
    Column("dataset_path", Text, nullable=False),
    Column("output_path", Text, nullable=False),
    # The output path of a task that has not ended, which makes it the only one to write there.
    Column("active_output", Text),
    Column("command", Text, nullable=False),
    Column("log_path", Text, nullable=False),
    Column("metrics", _Json, nullable=False),
    Column("queue_reason", _Json),
    Column("error", _Json),
    Column("description", Text),
    Column("download", _Json),
    UniqueConstraint("active_output", name="tasks_active_output"),
    # Both answer count and page of a list from the index alone, in the order of the ids:
    # by status (and name), and by name.
    Index("tasks_by_status", "status", "delete_requested_at", "id", "search_name"),
    Index("tasks_by_id", "delete_requested_at", "id", "search_name"),
    Index("tasks_by_base_model", "base_model", "delete_requested_at", "id"),
    # What lists are ordered by, but for `updated_at`: it changes with every report, and no page of
    # the console asks for its order. The status is in them for the orders of one status.
    Index("tasks_ordered_by_status", "delete_requested_at", "status", "id"),
    *(
        Index(f"tasks_ordered_by_{name}", "delete_requested_at", column, "id", "status")
        for name, column in (
            ("name", "search_name"),
            ("progress", "progress"),
            ("base_model", "search_base_model"),
            ("started", "started_at"),
            ("finished", "finished_at"),
            ("created", "created_at"),
        )
    ),
    sqlite_autoincrement=True,  # an id is never given twice, even after the last task is deleted
)

# Beside the tasks, so that filtering does not drag pages of JSON along.
specs = Table(
    "specs",
    metadata,
    Column("task_id", ForeignKey(tasks.c.id), primary_key=True),
    Column("spec", Text, nullable=False),
)

attempts = Table(
    "attempts",
    metadata,
    Column("task_id", ForeignKey(tasks.c.id), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("run_directory", Text, nullable=False),
    Column("handle", Text),
    Column("devices", _Json, nullable=False),
    Column("events_offset", BigInteger, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("ended_at", Double),
)

# Outlives its task: what is learnt from a run stays true when the run is deleted.
memory_runs = Table(
    "memory_runs",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("task_id", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("ended_at", Double, nullable=False),
    Column("base_model", Text, nullable=False),
    Column("family", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("device_type", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("gradient_checkpointing", Boolean, nullable=False),
    Column("planned", BigInteger, nullable=False),
    Column("ratio", Double, nullable=False),
    Column("measured", BigInteger, nullable=False),
    UniqueConstraint("task_id", "attempt", name="memory_runs_attempt"),
    Index("memory_runs_of_kind", "family", "method", "device_type", "mode", "id"),
    sqlite_autoincrement=True,
)

events = Table(
    "events",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("task_id", ForeignKey(tasks.c.id), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("seq", BigInteger),  # the trainer's number; null for what the server adds
    Column("at", Double, nullable=False),
    Column("type", Text, nullable=False),
    Column("step", BigInteger),
    Column("data", _Json, nullable=False),
    Index("events_of_task", "task_id", "id"),
    # A long training has thousands of metrics between two events of other types.
    Index("events_by_type", "task_id", "type", "id"),
    sqlite_autoincrement=True,  # clients resume after an id: it must not come again
)
