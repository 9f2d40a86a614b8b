"""Base models from a hub that runs here: a real server, real HTTP, real processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hub_server import Hub, running_hub
from tests.integration.server import Server, until
from tests.integration.test_lifecycle import FAST, ends, write_data
from tests.tiny_models import make_tiny_model
from tunesmith import events
from tunesmith.errors import InvalidInput
from tunesmith.hub.marker import MARKER
from tunesmith.run_directory import RunDirectory
from tunesmith.spec import GpuConfig, HubModel, Spec, TrainingArguments
from tunesmith.status import Status

pytestmark = pytest.mark.processes

DEADLINE = 120
REPO = "tiny-org/Tiny-0.1M"
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = make_tiny_model(tmp_path_factory.mktemp("published"))
    (path / "LICENSE").write_text("free")
    (path / "model.gguf").write_bytes(b"not wanted")
    (path / "evil.py").write_text("raise SystemExit")
    return path


@pytest.fixture
def hub():
    with running_hub() as hub:
        yield hub


class Trainer:
    """A trainer process whose base model has to be downloaded."""

    def __init__(self, root: Path, hub: Hub, directory: Path, token: str = "", name: str = "run"):
        self.run = RunDirectory(root / name)
        self.run.path.mkdir()
        self.data = root / "data"
        if not self.data.exists():
            write_data(self.data)
        spec = Spec(
            task_id=1,
            attempt=1,
            name="n",
            description=None,
            base_model=str(directory),
            hub=HubModel(
                source="huggingface", repo=REPO, revision=hub.repos[REPO].commit, endpoint=hub.url
            ),
            dataset_path=str(self.data),
            output_path=str(root / f"{name} output"),
            training=TrainingArguments(**FAST),
            given=tuple(sorted(FAST)),
            gpu=GpuConfig(),
            devices=(),
        )
        self.run.spec.write_text(spec.model_dump_json())
        with self.run.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tunesmith.trainer", str(self.run.path)],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "TUNESMITH_HUB_TOKEN": token},
            )

    def wait(self) -> int:
        return self.process.wait(DEADLINE)

    @property
    def events(self):
        return events.read(self.run.events, 0)[0]

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def trainer(tmp_path, hub):
    made = []

    def start(directory, **how):
        made.append(Trainer(tmp_path, hub, directory, **how))
        return made[-1]

    yield start
    for each in made:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_a_task_downloads_its_gated_base_model_and_trains_on_it(tmp_path, hub, tiny):
    hub.add(REPO, tiny, gated=True)
    root = tmp_path / "人 家"
    root.mkdir()
    data = write_data(root / "数据")
    settings = {"TUNESMITH_HUB_ENDPOINT": hub.url, "TUNESMITH_HUB_TOKEN": hub.token}
    server = Server(root, **settings).start()
    try:
        with server.client() as client:
            task = client.create_task("a", REPO, str(data), training_args=FAST)
            assert task.base_model == REPO
            done = ends(client, task.id)
            assert done.status is Status.COMPLETED, (done.error, client.log(task.id))
            assert done.download is None
            told = [event for event in client.stream(task.id) if event.event != "progress"]
            phases = [event.data["phase"] for event in told if event.event == "phase"]
            assert phases[:3] == ["checking", "downloading", "loading"]
            assert "download" not in {event.event for event in told}
            asked = len(hub.asked)
            again = client.create_task("b", REPO, str(data), training_args=FAST)
            assert ends(client, again.id).status is Status.COMPLETED
            assert len(hub.asked) == asked
            with pytest.raises(InvalidInput) as refused:
                client.create_task("c", "tiny-org/none", str(data))
            assert hub.url in str(refused.value) and "baseModel" in str(refused.value)
    finally:
        server.close()
    directory = server.data_dir / "models" / "tiny-org" / "Tiny-0.1M"
    marker = json.loads((directory / MARKER).read_text())
    assert (marker["repo"], marker["revision"]) == (REPO, "a" * 40)
    assert (directory / WEIGHTS).read_bytes() == (tiny / WEIGHTS).read_bytes()
    assert names(directory) == {
        "LICENSE",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        WEIGHTS,
        "tokenizer.json",
        "tokenizer_config.json",
        MARKER,
    }
    adapter = json.loads(
        (server.data_dir / "outputs" / str(task.id) / "adapter_config.json").read_text()
    )
    assert adapter["base_model_name_or_path"] == str(directory)
    # The token reaches the hub, but neither the host that files lie on nor any file of ours.
    assert all(asked.signed_in for asked in hub.of("/resolve/"))
    assert hub.of("/cdn/") and not any(asked.signed_in for asked in hub.of("/cdn/"))
    holding = [
        path
        for path in root.rglob("*")
        if path.is_file() and hub.token.encode() in path.read_bytes()
    ]
    assert holding == []


def test_a_stop_ends_the_download_and_the_next_run_goes_on_with_it(tmp_path, hub, tiny, trainer):
    repo = hub.add(REPO, tiny, hold_after={WEIGHTS: 200_000})
    directory = tmp_path / "模型 dir" / "tiny-org" / "Tiny"
    run = trainer(directory)
    part = directory.with_name(".Tiny.downloading") / f"{WEIGHTS}.part"
    until(lambda: hub.holding.is_set() and run.of(events.Download), "bytes are told")
    run.process.send_signal(signal.SIGTERM)
    assert run.wait() == 0
    finished = run.events[-1]
    assert isinstance(finished, events.Finished) and finished.outcome == "stopped"
    assert not directory.exists()
    have = part.stat().st_size
    assert have > 100_000
    hub.go.set()
    repo.hold_after.clear()
    before = len(hub.asked)
    second = trainer(directory, name="second")
    assert second.wait() == 0, second.run.log.read_text()
    assert (directory / WEIGHTS).read_bytes() == (tiny / WEIGHTS).read_bytes()
    assert not part.parent.exists()
    ranges = [asked.range for asked in hub.asked[before:] if asked.path.startswith("/cdn/")]
    assert f"bytes={have}-" in ranges
    small = [asked.method for asked in hub.asked[before:] if "/config.json" in asked.path]
    assert "GET" not in small


def test_two_runs_that_want_the_same_model_download_it_once(tmp_path, hub, tiny, trainer):
    hub.add(REPO, tiny, hold_after={WEIGHTS: 1000})
    directory = tmp_path / "models" / "tiny-org" / "Tiny"
    first = trainer(directory)
    until(hub.holding.is_set, "the first downloads")
    second = trainer(directory, name="second")
    until(lambda: [e for e in second.of(events.Warned) if e.code == "download_waits"], "it waits")
    hub.go.set()
    assert (first.wait(), second.wait()) == (0, 0), second.run.log.read_text()
    gets = [asked for asked in hub.asked if asked.method == "GET" and "/cdn/" in asked.path]
    assert len([asked for asked in gets if asked.path.endswith(WEIGHTS)]) == 1
    assert not list(directory.parent.glob(".*"))


def test_a_download_that_is_not_allowed_fails_with_what_to_do(tmp_path, hub, tiny, trainer):
    hub.add(REPO, tiny, gated=True)
    run = trainer(tmp_path / "models" / "o" / "Tiny", token="a-wrong-one")
    assert run.wait() == 1
    failed = run.events[-1]
    assert isinstance(failed, events.Failed) and failed.code == "download_failed"
    assert failed.params["reason"]["code"] == "field.hub_gated"
    assert "TUNESMITH_HUB_TOKEN" in run.run.log.read_text()
    assert "a-wrong-one" not in run.run.log.read_text()


def test_train_in_a_shell_downloads_too(tmp_path, hub, tiny):
    hub.add(REPO, tiny)
    data = write_data(tmp_path / "data")
    environment = {n: v for n, v in os.environ.items() if not n.startswith("TUNESMITH_")} | {
        "HOME": str(tmp_path),
        "TUNESMITH_DATA_DIR": str(tmp_path / "d"),
        "HF_ENDPOINT": hub.url,
        "LANG": "C.UTF-8",
    }
    sets = [f"--set={name}={value}" for name, value in FAST.items()]
    command = [sys.executable, "-m", "tunesmith", "train", "--base-model", REPO, *sets]
    command += ["--dataset", str(data)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=DEADLINE, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "downloading" in done.stdout and "100 %" in done.stdout
    shutil.rmtree(tmp_path / "d" / "models")
    offline = subprocess.run(
        command,
        env=environment | {"TUNESMITH_OFFLINE": "true"},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        cwd=tmp_path,
    )
    assert offline.returncode == 2 and "TUNESMITH_OFFLINE" in offline.stderr
