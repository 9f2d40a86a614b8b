"""Opens the database: the engine's set-up, and the schema brought to the newest migration.

All that is particular to SQLite is here.
"""

import json
import math
import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from tunesmith.errors import Misconfigured

BUSY_SECONDS = 30.0
MIGRATIONS = Path(__file__).parent / "migrations"


def open_database(url: str) -> Engine:
    """Return an engine for `url` whose schema is the newest, made or migrated if need be.

    A transaction of `engine.execution_options(writes=True)` may read first and write then.
    Raises Misconfigured: `store_newer`, `store_unreadable`.
    """
    engine = _make_engine(url)
    try:
        with engine.connect() as connection:
            found = _version(connection)
        if found != newest_version():
            _migrate(url)
    except DBAPIError as error:
        engine.dispose()
        shown = engine.url.render_as_string(hide_password=True)
        raise Misconfigured("store_unreadable", url=shown, reason=str(error.orig)) from None
    except Misconfigured:
        engine.dispose()
        raise
    return engine


def newest_version() -> str:
    """Return the newest migration's number, from its file name: Alembic is slow to import."""
    return _versions()[-1]


def _versions() -> list[str]:
    return sorted(file.name[:4] for file in MIGRATIONS.glob("versions/[0-9]*.py"))


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    if found is not None and found not in _versions():
        raise Misconfigured("store_newer", found=found, known=newest_version())
    return found


def _migrate(url: str) -> None:
    # Without foreign keys: a migration that copies a table drops the old one, and SQLite would
    # take its rows' children along.
    engine = _make_engine(url, foreign_keys=False)
    try:
        with engine.execution_options(writes=True).begin() as connection:
            # Somebody may have been faster between the first look and this transaction.
            if _version(connection) == newest_version():
                return
            from alembic import command
            from alembic.config import Config

            config = Config()
            config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def _make_engine(url: str, *, foreign_keys: bool = True) -> Engine:
    sqlite = url.startswith("sqlite")
    engine = create_engine(
        url,
        json_serializer=dumps,
        hide_parameters=True,  # an error's text ends up in logs, which users' texts should not
        connect_args={"timeout": BUSY_SECONDS} if sqlite else {},
        poolclass=None if foreign_keys else NullPool,
    )
    if not sqlite:
        return engine

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: Any) -> None:
        # The driver would open transactions late, at the first write; we do it ourselves.
        connection.isolation_level = None
        _use_wal(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that reads and then writes cannot wait for another writer, it fails with
        # SQLITE_BUSY_SNAPSHOT; one that begins as a writer waits at the beginning.
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _use_wal(connection: sqlite3.Connection) -> None:
    # While two connections turn a new file to WAL, SQLite answers "locked" without waiting.
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def dumps(value: Any) -> str:
    """Return `value` as JSON that any reader takes.

    Numbers that are not finite are left out (null in a list); half surrogate pairs, which UTF-8
    cannot hold, become question marks.
    """
    text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "replace").decode("utf-8")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items() if not _is_odd(item)}
    if isinstance(value, list | tuple):
        return [None if _is_odd(item) else _finite(item) for item in value]
    return value


def _is_odd(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
