import shutil
from collections import namedtuple

import pytest

from tests.unit.hub.conftest import FILES
from tunesmith.errors import RunFailure
from tunesmith.hub import marker
from tunesmith.hub.download import download
from tunesmith.hub.marker import MARKER
from tunesmith.spec import HubModel


def model_of(hub, source="huggingface", revision="a" * 40):
    return HubModel(source=source, repo="o/n", revision=revision, endpoint=hub.url)


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "模型 models" / "o" / "n"


def test_the_directory_appears_whole_and_says_where_it_came_from(hub, published, directory):
    hub.add("o/n", published)
    told = []
    assert download(model_of(hub), directory, None, told.append) == "a" * 40
    assert {path.name for path in directory.iterdir()} == {*FILES, MARKER}
    assert [path.name for path in directory.parent.iterdir()] == ["n"]
    assert marker.same(directory, model_of(hub))
    assert [f["size"] for f in marker.read(directory)["files"]] == [2, 2, 300_000]
    assert told[-1]["progress"]["downloaded_bytes"] == 300_004
    asked = len(hub.asked)
    assert download(model_of(hub, revision="b" * 40), directory, None, told.append) == "a" * 40
    assert len(hub.asked) == asked


def test_what_another_revision_left_is_not_mixed_in(hub, published, directory):
    draft = directory.with_name(".n.downloading")
    draft.mkdir(parents=True)
    marker.write(draft, model_of(hub, revision="b" * 40), [])
    (draft / "config.json").write_bytes(b"[]")  # the size of the new one
    (draft / "old.json").write_bytes(b"")
    hub.add("o/n", published)
    download(model_of(hub), directory, None, lambda _: None)
    assert (directory / "config.json").read_bytes() == b"{}"
    assert not (directory / "old.json").exists()


def test_a_disk_without_room_is_told_before_anything_is_fetched(
    hub, published, directory, monkeypatch
):
    hub.add("o/n", published)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, 1000))
    with pytest.raises(RunFailure) as failed:
        download(model_of(hub), directory, None, lambda _: None)
    assert failed.value.code == "download_no_space" and not directory.exists()
    assert hub.of("/cdn/") == []


def test_a_model_that_has_gone_since_the_task_was_made(hub, directory):
    with pytest.raises(RunFailure) as failed:
        download(model_of(hub), directory, None, lambda _: None)
    assert failed.value.params["reason"]["code"] == "field.hub_missing"


def test_modelscope_gives_the_same(hub, published, directory):
    pytest.importorskip("modelscope_hub", reason="the extra `modelscope` is not installed")
    hub.add("o/n", published)
    model = model_of(hub, "modelscope", "master")
    assert download(model, directory, None, lambda _: None) == "master"
    assert (directory / "model.safetensors").read_bytes() == FILES["model.safetensors"]
