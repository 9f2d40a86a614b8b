import os

import pytest

from tests.hub_server import running_hub
from tunesmith.settings import Settings

FILES = {"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors": b"x" * 300_000}


@pytest.fixture(autouse=True)
def clean_environment():
    """Undo what the listing sets for the hubs' libraries: it has a process of its own in life."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def hub():
    with running_hub() as hub:
        yield hub


@pytest.fixture
def published(tmp_path):
    """The files of a model as a hub has them; nothing that could be loaded."""
    path = tmp_path / "published"
    path.mkdir()
    for name, content in FILES.items():
        (path / name).write_bytes(content)
    return path


@pytest.fixture
def make_settings(tmp_path, hub, monkeypatch):
    for name in ("HF_ENDPOINT", "HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)

    def make(**given):
        return Settings(data_dir=tmp_path / "数据 data", **{"hub_endpoint": hub.url, **given})

    return make
