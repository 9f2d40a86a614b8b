import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.specs import make_spec
from tests.unit.api.parts import events_of, wait_until
from tunesmith.api.serve import serve
from tunesmith.errors import Misconfigured
from tunesmith.executor.local import LocalExecutor
from tunesmith.settings import Settings
from tunesmith.store import AttemptRecord, NewTask, Store

pytestmark = pytest.mark.processes

TOKEN = "token-of-the-test"


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path / "data", port=0, token=TOKEN, language="en")


@contextmanager
def server(settings, **environment):
    """Run `tunesmith serve` and yield the process and what it has printed when it is ready."""
    own = {name: v for name, v in os.environ.items() if not name.startswith("TUNESMITH_")}
    own |= {
        "TUNESMITH_DATA_DIR": str(settings.data_dir),
        "TUNESMITH_PORT": "0",
        "TUNESMITH_TOKEN": TOKEN,
        "TUNESMITH_LANGUAGE": "en",
        "TUNESMITH_DEVICES": "none",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tunesmith", "serve"],
        env=own | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        assert all(lines), process.communicate()[1]
        yield process, lines
    finally:
        process.kill()
        process.communicate()


def url_of(lines):
    return lines[0].split()[-1]


def ended(process, number=signal.SIGTERM):
    """Send a signal; return exit code, output, error output and the seconds until the end."""
    began = time.monotonic()
    process.send_signal(number)
    output, errors = process.communicate(timeout=20)
    return process.returncode, output, errors, time.monotonic() - began


def running_task(settings, command):
    """Store a task that runs under a real supervisor, with `command` as its trainer."""
    store = Store.open(settings.store_url)
    spec = make_spec().model_copy(update={"task_id": 0, "attempt": 0, "output_path": ""})
    task = store.insert(NewTask(spec, str(settings.outputs_dir), "/m", None, checked=True))
    run = settings.tasks_dir / str(task.id) / "1"
    run.mkdir(parents=True)
    attempt = AttemptRecord(task.id, 1, str(run), None, (), 0, 0, None)
    assert store.begin_attempt(
        task, attempt, spec, command="", log_path=str(run / "train.log"), started_at=time.time()
    )
    executor = LocalExecutor(lambda _: command)
    handle = executor.start(run, {})
    store.save_handle(task.id, 1, handle)
    store.close()
    return task.id, executor, handle


def test_it_says_where_it_is_and_leaves_that_for_clients(settings):
    with server(settings) as (process, lines):
        assert lines[0].startswith("Tunesmith ")
        assert lines[1] == f"token: {TOKEN}\n"
        assert lines[2] == f"data: {settings.data_dir}\n"
        file = settings.server_file
        assert json.loads(file.read_text()) == {"url": url_of(lines), "pid": process.pid}
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert httpx.get(f"{url_of(lines)}/health").json()["data"]["status"] == "ok"
        code, output, errors, _ = ended(process)
        assert (code, output, errors) == (0, "", "")
        assert not file.exists()


def test_a_token_is_made_at_the_first_start_and_kept(settings):
    for _ in range(2):
        with server(settings, TUNESMITH_TOKEN="") as (_, lines):
            token = lines[1].split()[1]
            assert token == settings.token_file.read_text().strip()
            answer = httpx.get(
                f"{url_of(lines)}/finetuning/getTaskList", headers={"x-token": token}
            )
            assert answer.status_code == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_streams_and_server_within_three_seconds_but_no_training(settings, number):
    settings.data_dir.mkdir()
    task_id, executor, handle = running_task(settings, ["sleep", "600"])
    try:
        with (
            server(settings) as (process, lines),
            httpx.stream(
                "GET",
                f"{url_of(lines)}/finetuning/streamTask",
                params={"id": task_id},
                headers={"x-token": TOKEN},
                timeout=20,
            ) as response,
            httpx.stream(
                "GET",
                f"{url_of(lines)}/finetuning/streamTaskLog",
                params={"id": task_id},
                headers={"x-token": TOKEN},
                timeout=20,
            ) as log,
        ):
            events = events_of(response)
            assert next(events).event == "status"
            code, output, errors, seconds = ended(process, number)
            assert "finished" not in [event.event for event in events]
            assert list(events_of(log)) == []
        assert code == 0
        assert seconds < 3
        assert output.startswith("Stopped. 1 training(s) go on")
        assert errors == ""
        assert executor.alive(handle)
    finally:
        executor.stop(handle, 0)
        wait_until(lambda: not executor.alive(handle))


def test_a_second_server_on_the_same_data_directory_is_refused(settings):
    with server(settings) as (process, lines):
        with pytest.raises(Misconfigured) as refused:
            serve(settings)
        assert refused.value.code == "data_dir_in_use"
        assert refused.value.params == {
            "path": str(settings.data_dir),
            "url": url_of(lines),
            "pid": str(process.pid),
        }
        # It has not disturbed the first one.
        assert httpx.get(f"{url_of(lines)}/health").status_code == 200
        assert settings.server_file.exists()


def test_a_server_that_was_killed_leaves_the_data_directory_free(settings):
    with server(settings) as (process, _):
        process.kill()
        process.wait()
    assert settings.server_file.exists()
    with server(settings) as (process, _):
        assert json.loads(settings.server_file.read_text())["pid"] == process.pid


def test_a_taken_port_is_told_before_anything_is_started(settings):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(Misconfigured) as refused:
            serve(settings.model_copy(update={"port": port}))
    assert refused.value.code == "port_taken"
    assert refused.value.params == {"host": "127.0.0.1", "port": port}
    assert not (settings.data_dir / "tunesmith.db").exists()


@pytest.mark.parametrize("host", ["256.1.1.1", "no such host", "192.0.2.1"])
def test_an_address_that_is_not_ours_is_told(settings, host):
    with pytest.raises(Misconfigured) as refused:
        serve(settings.model_copy(update={"host": host}))
    assert refused.value.code == "setting_invalid"
    assert refused.value.params["name"] == "host"


def test_a_data_directory_that_is_none_is_told(settings):
    settings.data_dir.write_text("a file")
    with pytest.raises(Misconfigured) as refused:
        serve(settings)
    assert refused.value.code == "data_dir_unusable"


def test_other_addresses_are_served(settings):
    with server(settings, TUNESMITH_HOST="0.0.0.0") as (_, lines):
        assert url_of(lines).startswith("http://127.0.0.1:")
        assert httpx.get(f"{url_of(lines)}/health").status_code == 200
    if Path("/proc/net/if_inet6").exists() and Path("/proc/net/if_inet6").read_text():
        with server(settings, TUNESMITH_HOST="::1") as (_, lines):
            assert url_of(lines).startswith("http://[::1]:")
            assert httpx.get(f"{url_of(lines)}/health").status_code == 200


def test_requests_are_logged_at_debug_only(settings):
    for level, said in (("info", False), ("debug", True)):
        with server(settings, TUNESMITH_LOG_LEVEL=level) as (process, lines):
            httpx.get(f"{url_of(lines)}/health")
            _, _, errors, _ = ended(process)
            assert ('"GET /health' in errors) == said
            assert TOKEN not in errors


def test_the_server_imports_no_torch():
    code = "import sys, tunesmith.api.server; print([m for m in sys.modules if m in sys.argv[1:]])"
    heavy = ["torch", "transformers", "peft", "alembic"]
    output = subprocess.check_output([sys.executable, "-c", code, *heavy], text=True)
    assert output.strip() == "[]"
