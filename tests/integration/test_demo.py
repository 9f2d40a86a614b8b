"""The demo over real processes, with a tiny model in the place of the real one."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.server import Server, until
from tests.tiny_models import make_tiny_model

pytestmark = pytest.mark.processes

DEMO = Path(__file__).parents[2] / "examples" / "persona" / "demo.py"
LIMIT = 180.0  # seconds


class Demo:
    """`python demo.py` on a data directory of its own, which has the base model already."""

    def __init__(self, root: Path) -> None:
        self.data_dir = root / "data"
        self.output = root / "demo.out"
        make_tiny_model(self.data_dir / "models" / "SmolLM2-135M-Instruct")
        self.environment = Server(root).environment

    def start(self, *options: str, **settings: str) -> subprocess.Popen[bytes]:
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(DEMO), *options],
                env=self.environment | settings,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                # A shell that starts this test in the background has Ctrl-C ignored.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )
        return self.process

    def said(self, text: str = "") -> str:
        """Return the output so far if `text` is in it, else nothing."""
        output = self.output.read_text(encoding="utf-8")
        return output if text in output else ""

    def wait_for(self, text: str) -> None:
        def there() -> bool:
            assert self.process.poll() is None, self.said()
            return bool(self.said(text))

        until(there, f"the demo says {text!r}", LIMIT)

    def left(self) -> list[str]:
        """Return the command lines of processes that use this data directory."""
        lines = []
        for process in psutil.process_iter():
            try:
                uses = process.environ().get("TUNESMITH_DATA_DIR") == str(self.data_dir)
                if uses and process.status() != psutil.STATUS_ZOMBIE:
                    lines.append(" ".join(process.cmdline()))
            except psutil.Error:
                continue
        return lines


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    demo = Demo(tmp_path)
    yield demo
    if demo.process.poll() is None:
        os.kill(demo.process.pid, signal.SIGTERM)
        demo.process.wait(60)


def test_it_trains_asks_both_models_and_serves_until_ctrl_c(demo: Demo) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = demo.start(TUNESMITH_PORT=str(port))
        demo.wait_for("Serving. Ctrl-C ends it.")
    said = demo.said()
    assert f"Port {port} is taken; a free one is used." in said
    assert "120 steps" in said
    assert said.count("eval_loss") == 3
    assert "100 %" in said
    assert "fine-tuned" in said
    assert (demo.data_dir / "outputs" / "1" / "adapter_config.json").is_file()
    assert any("tunesmith serve" in line for line in demo.left())
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(60) == 0, demo.said()
    assert demo.left() == []


def test_ctrl_c_in_the_middle_stops_the_task_and_the_server(demo: Demo) -> None:
    process = demo.start()
    demo.wait_for("training")
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(60) == 130, demo.said()
    assert "Stopping task 1" in demo.said()
    assert demo.left() == []


def test_a_server_that_runs_already_is_used_and_left_running(demo: Demo, tmp_path: Path) -> None:
    server = Server(tmp_path, TUNESMITH_ALLOWED_ROOTS=str(DEMO.parent)).start()
    try:
        assert demo.start("--exit").wait(LIMIT) == 0, demo.said()
        assert f"Using the server that runs on {demo.data_dir}" in demo.said()
        with server.client() as client:
            assert client.task(1).status == "completed"
    finally:
        server.close()


def test_a_failed_task_is_explained(demo: Demo) -> None:
    (demo.data_dir / "models" / "SmolLM2-135M-Instruct" / "tokenizer.json").write_text("{")
    assert demo.start("--exit").wait(LIMIT) == 1
    said = demo.said()
    assert "Task 1 is failed." in said
    assert "The whole log:" in said
    assert demo.left() == []
