"""The API over a real store, and a daemon that only notes that it was woken."""

import json
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.unit.api.parts import TOKEN, Api, WokenDaemon
from tunesmith.api.app import create_app
from tunesmith.api.state import ServerState
from tunesmith.changes import Changes
from tunesmith.daemon import Daemon
from tunesmith.devices import Device
from tunesmith.settings import Settings
from tunesmith.store import Store


@pytest.fixture
def state(tmp_path: Path) -> Iterator[ServerState]:
    settings = Settings(data_dir=tmp_path / "data", allowed_roots=(tmp_path,), devices="none")
    settings.data_dir.mkdir()
    store = Store.open(settings.store_url)
    changes = Changes()
    yield ServerState(
        store=store,
        settings=settings,
        daemon=cast(Daemon, WokenDaemon(changes)),
        changes=changes,
        token=TOKEN,
        inventory=lambda: [Device(0, "Simulated GPU", 2**30, None, None, None, simulated=True)],
        closing=threading.Event(),
    )
    store.close()


@pytest.fixture
def api(state: ServerState) -> Api:
    return Api(create_app(state), state)


@pytest.fixture
def body(tmp_path: Path) -> dict[str, Any]:
    """Return a request whose base model and data set are there."""
    model, data = tmp_path / "model", tmp_path / "data set"
    model.mkdir()
    data.mkdir()
    (model / "config.json").write_text('{"model_type": "llama"}')
    (model / "model.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
    (model / "tokenizer.json").write_text("{}")
    row = {"instruction": "Who are you?", "input": "", "output": "Tunesmith."}
    (data / "train.jsonl").write_text(json.dumps(row) + "\n")
    return {"name": "persona", "baseModel": str(model), "datasetPath": str(data)}
