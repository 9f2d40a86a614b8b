"""The command line as a person uses it: a real server, real trainings, real signals."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.server import Server, until
from tests.tiny_models import make_tiny_model

pytestmark = pytest.mark.processes

COMMAND = [sys.executable, "-m", "tunesmith"]
LIMIT = 120  # seconds for a command that ends by itself
LONG = "num_train_epochs=5000"  # does not end before the test does


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A home directory with a base model and data; the name has a space and Chinese in it."""
    place = tmp_path_factory.mktemp("家 home")
    make_tiny_model(place / "tiny")
    for name, count in (("train", 24), ("valid", 4)):
        (place / "persona").mkdir(exist_ok=True)
        with (place / "persona" / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            for number in range(count):
                row = {"instruction": f"问 {number}", "input": "", "output": f"answer {number}"}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return place


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[Server]:
    server = Server(place, TUNESMITH_DEVICES="none").start()
    try:
        yield server
    finally:
        server.close()


class Shell:
    """Runs command lines in the place, as its user."""

    def __init__(self, place: Path, **variables: str) -> None:
        self.place = place
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("TUNESMITH_")
        } | {
            "HOME": str(place),
            "TUNESMITH_DATA_DIR": str(place / "data"),
            "LC_ALL": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            # A proxy must not come between us and this machine.
            "HTTP_PROXY": "http://127.0.0.1:1",
            **variables,
        }

    def run(self, *arguments: str, input: str = "") -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.place,
            env=self.environment,
            input=input,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )

    def json(self, *arguments: str):
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    @contextlib.contextmanager
    def start(self, *arguments: str) -> "Iterator[Running]":
        running = Running(self, arguments)
        try:
            yield running
        finally:
            running.process.kill()
            running.process.wait()


class Running:
    """A command that goes on; its output lies in a file."""

    def __init__(self, shell: Shell, arguments: tuple[str, ...]) -> None:
        self._output = shell.place / f"output-{id(self)}"
        with self._output.open("wb") as file:
            self.process = subprocess.Popen(
                [*COMMAND, *arguments],
                cwd=shell.place,
                env=shell.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
                # As from a terminal: in the background of a script Ctrl-C is ignored.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    @property
    def output(self) -> str:
        return self._output.read_text(encoding="utf-8")

    def shows(self, text: str) -> None:
        def seen() -> bool:
            return text in self.output or self.process.poll() is not None

        until(seen, f"{text!r} is printed")
        assert text in self.output, self.output

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def exit_code(self) -> int:
        return self.process.wait(LIMIT)


@pytest.fixture
def shell(server: Server, place: Path) -> Shell:
    return Shell(place)


def submit(shell: Shell, *options: str) -> int:
    return shell.json("submit", "--base-model", "tiny", "--dataset", "persona", *options)["ID"]


def test_a_submitted_task_is_followed_to_its_end_and_can_be_looked_at(shell):
    options = ("--set", "num_train_epochs=2", "--set", "logging_steps=2", "--name", "人设")
    done = shell.run(
        "submit", "--base-model", "./tiny", "--dataset", "persona", *options, "--follow"
    )
    assert done.returncode == 0, done.stderr
    assert "Task " in done.stderr and "completed: task" in done.stderr
    assert "12 steps over 24 samples (4 for validation)" in done.stdout
    assert "step 12/12: loss" in done.stdout and "eval_loss" in done.stdout

    listed = shell.json("list", "--name", "人设")
    assert listed["total"] == 1
    task = listed["list"][0]
    assert task["status"] == "completed" and task["progress"] == 100
    assert task["baseModel"] == str(shell.place / "tiny")
    assert task["trainingArgs"]["num_train_epochs"] == 2
    assert (Path(task["outputPath"]) / "adapter_model.safetensors").exists()

    task_id = str(task["ID"])
    assert shell.json("show", task_id)["outputPath"] == task["outputPath"]
    # A pipe gets whole lines without colour.
    row = shell.run("list", "--name", "人设").stdout.splitlines()[1]
    assert row.split("\t")[0] == task_id and "\x1b" not in row and task["baseModel"] in row
    log = shell.json("logs", task_id)
    assert log == Path(task["logPath"]).read_text(encoding="utf-8")
    assert shell.run("logs", task_id, "-f", "-n", "10000").stdout == log
    steps = [point["step"] for point in shell.json("metrics", task_id)["training"]]
    assert steps == [2, 4, 6, 8, 10, 12]
    # It has ended: following it says so at once, stopping it is a conflict.
    assert shell.run("show", task_id, "--follow").returncode == 0
    again = shell.run("stop", task_id)
    assert again.returncode == 5 and "has ended already" in again.stderr


def test_ctrl_c_leaves_a_followed_task_running_until_it_is_stopped_and_deleted(shell):
    task_id = str(submit(shell, "--set", LONG, "--set", "logging_steps=1"))
    with shell.start("show", task_id, "--follow") as following:
        following.shows("loss")
        following.interrupt()
        assert following.exit_code() == 130
        assert f"tunesmith stop {task_id}" in following.output
    assert shell.json("show", task_id)["status"] == "running"
    with shell.start("logs", task_id, "-f") as following:
        following.shows("\n")
        following.interrupt()
        assert following.exit_code() == 130
    with shell.start("show", task_id, "-f", "--json") as following:
        stopped = shell.run("stop", task_id, "--wait")
        assert stopped.returncode == 3 and "stopped: task" in stopped.stderr
        assert following.exit_code() == 3
        assert json.loads(following.output)["status"] == "stopped"
    output = Path(shell.json("show", task_id)["outputPath"])
    assert shell.run("delete", task_id, input="n\n").returncode == 1
    assert shell.json("show", task_id)["ID"] == int(task_id)
    done = shell.run("delete", task_id, "--yes")
    assert done.returncode == 0, done.stderr
    assert output.exists()
    gone = shell.run("show", task_id)
    assert gone.returncode == 4 and f"There is no task {task_id}" in gone.stderr


def test_a_failed_task_exits_1_and_says_why(shell):
    bad = shell.place / "bad.jsonl"
    row = json.dumps({"instruction": "a", "input": "", "output": "b"})
    bad.write_text(f"{row}\n" * 8)
    made = shell.json("submit", "--base-model", "tiny", "--dataset", "bad.jsonl", "--set", LONG)
    task_id = str(made["ID"])
    with shell.start("show", task_id, "--follow") as following:
        pid = until(lambda: shell.json("show", task_id)["pid"], "the trainer runs")
        os.kill(pid, signal.SIGKILL)
        assert following.exit_code() == 1
    assert "SIGKILL" in following.output and "--set" in following.output


def test_refused_input_names_every_field(shell):
    done = shell.run("submit", "--base-model", "tiny", "--dataset", "nothing", "--set", "lora_r=0")
    assert done.returncode == 2
    assert "trainingArgs.lora_r: must be at least 1" in done.stderr
    done = shell.run("submit", "--base-model", "tiny", "--dataset", "nothing")
    assert done.returncode == 2 and "datasetPath: " in done.stderr
    assert shell.json("list", "--name", "nothing")["total"] == 0


def test_a_wrong_token_exits_77_and_an_unknown_id_4(server, shell):
    stranger = Shell(shell.place, TUNESMITH_URL=server.url, TUNESMITH_TOKEN="not the token")
    assert stranger.run("list").returncode == 77
    for command in (("show",), ("logs",), ("metrics",), ("stop",), ("delete", "-y")):
        assert shell.run(*command, "999999").returncode == 4


def test_a_machine_without_gpus_lists_none(shell):
    assert shell.json("devices") == []


def test_without_a_server_it_exits_69(tmp_path):
    done = Shell(tmp_path).run("list")
    assert done.returncode == 69 and "tunesmith serve" in done.stderr


def test_a_second_server_on_the_data_directory_exits_78(shell):
    done = shell.run("serve", "--port", "0")
    assert done.returncode == 78 and "runs on the data directory" in done.stderr


# Without a server


def task_file(place: Path, name: str, **arguments: object) -> str:
    lines = "".join(f"  {key}: {value}\n" for key, value in arguments.items())
    text = f"base_model: ./tiny\ndataset_path: persona\ntraining_args:\n{lines}"
    (place / name).write_text(text, encoding="utf-8")
    return name


def test_train_runs_a_task_file_without_a_server(place):
    shell = Shell(place, TUNESMITH_DATA_DIR=str(place / "no server"))
    file = task_file(place, "task.yaml", num_train_epochs=1, logging_steps=2)
    done = shell.run("train", file, "--set", "batch_size=8", "--output", "adapter")
    assert done.returncode == 0, done.stderr
    assert "3 steps over 24 samples" in done.stdout
    assert (place / "adapter" / "adapter_model.safetensors").exists()
    assert not (place / "no server" / "tunesmith.db").exists()


def test_train_stops_with_a_checkpoint_at_ctrl_c(place):
    shell = Shell(place, TUNESMITH_DATA_DIR=str(place / "no server"))
    file = task_file(place, "long.yaml", num_train_epochs=5000, logging_steps=1)
    with shell.start("train", file, "--run-dir", "run") as training:
        training.shows("loss")
        training.interrupt()
        assert training.exit_code() == 3, training.output
    assert "stopped" in training.output
    assert list((place / "run" / "output").glob("checkpoint-*"))
    assert json.loads((place / "run" / "exit.json").read_text())["stop_requested"]


def test_train_refuses_what_it_cannot_run_before_anything_is_made(place):
    shell = Shell(place, TUNESMITH_DATA_DIR=str(place / "untouched"))
    done = shell.run("train", "--base-model", "none", "--dataset", "none", "--set", "lora=3")
    assert done.returncode == 2 and "lora" in done.stderr
    done = shell.run("train", "--base-model", "./none", "--dataset", "none")
    assert done.returncode == 2
    assert "baseModel: " in done.stderr and "datasetPath: " in done.stderr
    assert not (place / "untouched").exists()


def test_train_that_fails_exits_1_with_the_reason(place):
    (place / "broken").mkdir()
    row = json.dumps({"instruction": "a", "output": "b"})
    (place / "broken" / "train.jsonl").write_text(f"{row}\n{{no json}}\n")
    shell = Shell(place, TUNESMITH_DATA_DIR=str(place / "no server"))
    done = shell.run("train", "--base-model", "tiny", "--dataset", "broken")
    assert done.returncode == 1, done.stderr
    assert "train.jsonl, line 2" in done.stderr
