"""Which directories are base models, by name."""

import pytest

from tunesmith import models_on_disk as module
from tunesmith.models_on_disk import models_on_disk


@pytest.fixture
def model_at():
    def make(path):
        path.mkdir(parents=True)
        (path / "config.json").write_text('{"model_type": "llama"}')
        (path / "model.safetensors").write_bytes(b"")  # only names are looked at
        return path

    return make


def test_models_on_disk_are_found_at_both_depths_and_in_a_cache(tmp_path, model_at):
    model_at(tmp_path / "models" / "smol")
    model_at(tmp_path / "models" / "Qwen" / "Qwen2-7B")
    model_at(tmp_path / "models" / "models--THUDM--glm-4-9b" / "snapshots" / "abc")
    elsewhere = model_at(tmp_path / "elsewhere")
    (tmp_path / "models" / "linked").symlink_to(elsewhere)
    for draft in (".smol2.downloading", "smol2.downloading", "Qwen/.Qwen3-8B.downloading"):
        model_at(tmp_path / "models" / draft)
    (tmp_path / "models" / "empty").mkdir()
    (tmp_path / "models" / "a file").write_text("")
    model_at(tmp_path / "models" / "too" / "deep" / "down")
    (model_at(tmp_path / "models" / "no weights") / "model.safetensors").unlink()
    found = models_on_disk([tmp_path / "models", tmp_path / "none"])
    assert [model.name for model in found] == ["linked", "Qwen/Qwen2-7B", "smol", "THUDM/glm-4-9b"]
    assert found[-1].path.name == "abc"


def test_a_directory_without_end_is_left_at_some_entry(tmp_path, model_at, monkeypatch):
    for number in range(5):
        model_at(tmp_path / f"model-{number}")
    monkeypatch.setattr(module, "MOST_ENTRIES", 3)
    assert len(models_on_disk([tmp_path])) == 3
