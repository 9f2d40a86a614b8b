"""Alembic's entry: runs the migrations inside the transaction that `database` has open.

A new migration is the next number in `versions/`, written like the last one, in batch mode where
it alters a table. A test compares what they make with `tables`.
"""

from alembic import context

from tunesmith.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
context.run_migrations()
