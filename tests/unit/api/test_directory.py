"""listDirectory: real directories, and nothing outside the allowed roots."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.api.parts import Api
from tunesmith import directory_list, wire
from tunesmith.api.app import create_app


@pytest.fixture
def root(state, tmp_path) -> Path:
    """The allowed root; beside it lies what must not be seen."""
    root = tmp_path / "allowed"
    root.mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "file.txt").write_text("hidden away")
    return root


@pytest.fixture
def api(state, root) -> Api:
    state = replace(state, settings=state.settings.model_copy(update={"allowed_roots": (root,)}))
    return Api(create_app(state), state)


@pytest.fixture
def listed(api):
    return lambda path="", **query: wire.DirectoryList.model_validate(
        api.data("listDirectory", path=str(path), **query)
    )


def names(found: wire.DirectoryList) -> list[str]:
    return [entry.name for entry in found.entries]


def test_without_a_path_the_roots_are_listed(api, listed, root):
    data = api.state.settings.data_dir
    found = listed()
    assert (found.path, found.parent, found.truncated) == ("", None, False)
    assert found.roots == [str(root), str(data)]
    assert [(entry.name, entry.path, entry.kind) for entry in found.entries] == [
        (str(root), str(root), "directory"), (str(data), str(data), "directory")
    ]  # fmt: skip
    assert api.data("listDirectory", path=" ") == api.data("listDirectory", path="")


def test_directories_come_first_and_numbers_in_their_order(listed, root):
    for name in ("checkpoint-1000", "checkpoint-500", "Alpha", "数据 集", "2²", "①"):
        (root / name).mkdir()
    for name in ("b.txt", "A.txt", ".hidden"):
        (root / name).write_bytes(b"12345")
    os.mkfifo(root / "pipe")
    os.utime(root / "b.txt", (1000.0, 1000.5))
    found = listed(root)
    assert names(found) == [
        "2²", "Alpha", "checkpoint-500", "checkpoint-1000", "①", "数据 集", "A.txt", "b.txt"
    ]  # fmt: skip
    assert (found.path, found.parent, found.total) == (str(root), None, 8)
    last = found.entries[-1]
    assert (last.kind, last.size_bytes, last.modified_at) == ("file", 5, 1000.5)
    assert last.path == str(root / "b.txt")
    assert found.entries[0].size_bytes is None
    assert ".hidden" in names(listed(root, showHidden="true"))
    assert ".hidden" not in names(listed(root, showHidden=""))
    inner = listed(root / "数据 集")
    assert (inner.entries, inner.parent) == ([], str(root))


def test_base_models_and_data_sets_are_marked(listed, root):
    for name in ("model", "sharded", "config only", "data", "plain", "both"):
        (root / name).mkdir()
    (root / "model" / "config.json").write_text("{}")
    (root / "model" / "model.safetensors").write_bytes(b"")
    (root / "sharded" / "config.json").write_text("{}")
    (root / "sharded" / "pytorch_model.bin.index.json").write_text("{}")
    (root / "config only" / "config.json").write_text("{}")
    (root / "data" / "train.parquet").write_bytes(b"")
    for name in ("a.jsonl", "b.JSON", "c.csv", "d.parquet", "e.txt", "train"):
        (root / name).write_text("")
    found = listed(root)
    assert {entry.name for entry in found.entries if entry.base_model} == {"model", "sharded"}
    assert {entry.name for entry in found.entries if entry.dataset} == {
        "data", "a.jsonl", "b.JSON", "c.csv", "d.parquet"
    }  # fmt: skip
    assert not any(entry.dataset for entry in listed(root / "model").entries)


def test_links_lead_within_the_roots_or_are_not_told_of(listed, root, tmp_path):
    (root / "data").mkdir()
    (root / "inside").symlink_to(root / "data")
    (root / "outside").symlink_to(tmp_path / "secret")
    (root / "outside.txt").symlink_to(tmp_path / "secret" / "file.txt")
    (root / "nowhere").symlink_to(root / "gone")
    (root / "circle").symlink_to(root / "circle")
    (root / "up").symlink_to("..")
    found = listed(root)
    assert names(found) == ["data", "inside"]
    assert found.total == 2
    assert found.entries[1].path == str(root / "inside")
    assert listed(root / "inside").path == str(root / "data")


@pytest.mark.parametrize(
    ("path", "type"),
    [
        ("{tmp}/secret", "path_outside_roots"),
        ("{tmp}/secret/file.txt", "path_outside_roots"),
        ("{root}/../secret", "path_outside_roots"),
        ("{root}/link", "path_outside_roots"),
        ("{tmp}", "path_outside_roots"),
        ("/", "path_outside_roots"),
        ("/etc", "path_outside_roots"),
        ("{root}-beside", "path_outside_roots"),
        ("data", "path_relative"),
        ("..", "path_relative"),
        ("/a\0b", "path_unusable"),
        ("{root}/none", "directory_missing"),
        ("{root}/file", "directory_missing"),
        ("{root}/file/below", "directory_missing"),
        ("{root}/" + "x" * 300, "directory_unreadable"),
        ("/" + "x" * 5000, "string_too_long"),
    ],
)
def test_what_cannot_be_listed_is_refused_in_words(api, root, tmp_path, path, type):
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "file").write_text("")
    response = api.get("listDirectory", path=path.format(tmp=tmp_path, root=root))
    assert response.status_code == 422
    (problem,) = response.json()["data"]["errors"]
    assert (problem["field"], problem["type"]) == ("path", type)
    assert "hidden away" not in response.text


def test_a_directory_that_may_not_be_read_is_refused(api, root, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.scandir", refuse)
    response = api.get("listDirectory", path=str(root))
    assert response.json()["data"]["errors"][0]["type"] == "directory_unreadable"


def test_a_directory_in_which_nobody_may_look_is_listed_with_the_others(listed, root, monkeypatch):
    (root / "closed").mkdir()
    (root / "open").mkdir()
    look = os.stat

    def refuse(path, **options):
        if f"{os.fspath(path)}/".startswith(f"{root}/closed/") and str(path)[-6:] != "closed":
            raise PermissionError(13, "Permission denied")
        return look(path, **options)

    monkeypatch.setattr("os.stat", refuse)
    assert names(listed(root)) == ["closed", "open"]


def test_a_large_directory_is_cut_and_says_so(listed, root, monkeypatch):
    monkeypatch.setattr(directory_list, "AT_MOST", 3)
    for number in range(5):
        (root / f"{number}.jsonl").write_text("")
    (root / "z").mkdir()
    found = listed(root)
    assert (names(found), found.total, found.truncated) == (["z", "0.jsonl", "1.jsonl"], 6, True)


def test_a_name_that_no_request_could_say_is_left_out(listed, root):
    (root / os.fsdecode(b"caf\xe9.jsonl")).write_text("")
    (root / "line\nend.jsonl").write_text("")
    assert names(listed(root)) == ["line\nend.jsonl"]


def test_a_models_directory_on_another_disk_may_be_looked_at(api, listed, tmp_path):
    disk = tmp_path / "disk"
    (disk / "Qwen").mkdir(parents=True)
    data = api.state.settings.data_dir
    (data / "models").symlink_to(disk)
    assert str(disk) in listed().roots
    assert names(listed(data / "models")) == ["Qwen"]
    assert "models" in names(listed(data))
