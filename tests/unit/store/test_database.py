"""Opening: a new store, an old one, a newer one, two at once, after a crash."""

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from tests.unit.store.samples import new_task, running
from tunesmith.errors import Misconfigured
from tunesmith.status import Status
from tunesmith.store import Store
from tunesmith.store.database import newest_version, open_database
from tunesmith.store.tables import metadata

ROOT = Path(__file__).parents[3]


def run(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, text=True, stdout=subprocess.PIPE
    )


def test_migrations_make_what_the_tables_say(url: str) -> None:
    engine = open_database(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == newest_version()
    engine.dispose()


def test_the_tables_that_migrations_make_count_ids_up(url: str, tmp_path: Path) -> None:
    # compare_metadata does not see AUTOINCREMENT and the formula of a column.
    Store.open(url).close()
    made = schema(tmp_path / "tunesmith.db")
    engine = open_database(f"sqlite:///{tmp_path / 'other.db'}")
    with engine.execution_options(writes=True).begin() as connection:
        metadata.drop_all(connection)
        metadata.create_all(connection)
    engine.dispose()
    assert made == schema(tmp_path / "other.db")
    assert made["tasks"].count("AUTOINCREMENT") == made["events"].count("AUTOINCREMENT") == 1


def test_sqlite_is_set_up_on_every_connection(url: str) -> None:
    engine = open_database(url)
    for _ in range(2):
        with engine.connect() as connection:
            for pragma, value in (
                ("journal_mode", "wal"),
                ("foreign_keys", 1),
                ("synchronous", 1),
                ("busy_timeout", 30_000),
            ):
                assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value
        engine.dispose()


def test_an_up_to_date_store_opens_without_alembic(url: str) -> None:
    Store.open(url).close()
    code = (
        "import sys; from tunesmith.store import Store; Store.open(sys.argv[1]).close();"
        "print('alembic' in sys.modules, 'torch' in sys.modules)"
    )
    out, _ = run(code, url).communicate(timeout=60)
    assert out.split() == ["False", "False"]


def test_a_store_of_a_newer_version_is_refused(url: str, tmp_path: Path) -> None:
    Store.open(url).close()
    with closing(sqlite3.connect(tmp_path / "tunesmith.db")) as file, file:
        file.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Misconfigured) as refused:
        Store.open(url)
    assert refused.value.code == "store_newer"
    assert refused.value.params == {"found": "9999", "known": newest_version()}


def test_a_store_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as refused:
        Store.open(f"sqlite:///{tmp_path / 'missing' / 'tunesmith.db'}")
    assert refused.value.code == "store_unreadable"
    assert "unable to open database file" in str(refused.value)
    (tmp_path / "text.db").write_text("this is no database\n" * 100)
    with pytest.raises(Misconfigured) as refused:
        Store.open(f"sqlite:///{tmp_path / 'text.db'}")
    assert "not a database" in refused.value.params["reason"]


def test_an_interrupted_first_start_is_made_good(url: str, tmp_path: Path) -> None:
    (tmp_path / "tunesmith.db").touch()
    store = Store.open(url)
    assert store.insert(new_task()).id == 1
    store.close()


def test_processes_that_open_a_new_store_at_once_all_succeed(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from tunesmith.store import Store\n"
        "for url in sys.stdin:\n"
        "    store = Store.open(url.strip())\n"
        "    print(store.count_pending(), flush=True)\n"
        "    store.close()\n"
    )
    opening = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(3)
    ]
    # Many rounds: turning the file to WAL collided in about one of thirty.
    for number in range(60):
        for process in opening:
            assert process.stdin is not None
            process.stdin.write(f"sqlite:///{tmp_path}/{number}.db\n")
            process.stdin.flush()
        for process in opening:
            assert process.stdout is not None
            assert process.stdout.readline() == "0\n"
    for process in opening:
        process.communicate(timeout=60)
        assert process.returncode == 0


def test_a_killed_process_loses_nothing(url: str) -> None:
    code = (
        "import os, signal, sys\n"
        "from tests.unit.store.samples import running\n"
        "from tunesmith.store import Store\n"
        "from tunesmith.status import Status\n"
        "store = Store.open(sys.argv[1])\n"
        "running(store, name='running')\n"
        "store.set_status(running(store, name='failed'), Status.FAILED)\n"
        "print('done', flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = run(code, url)
    assert killed.communicate(timeout=60)[0] == "done\n"
    assert killed.returncode == -signal.SIGKILL
    store = Store.open(url)
    assert [task.name for task in store.running()] == ["running"]
    assert store.counts()[Status.FAILED] == 1
    assert len(store.events_after(2, 0)) == 3
    assert store.attempt(2, 1).devices == (1, 0)
    assert running(store).id == 3
    store.close()


def schema(file: Path) -> dict[str, str]:
    """Return the SQL of all tables and indexes, columns and constraints sorted."""
    with closing(sqlite3.connect(file)) as database:
        rows = database.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
        return {name: "".join(sorted(sql.split())) for name, sql in rows}
