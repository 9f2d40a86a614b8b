"""`tunesmith models` over a real models directory, without a server."""

import json
import shutil

import pytest

from tests.tiny_models import make_tiny_model
from tunesmith.families import CATALOGUE


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "tiny model")


@pytest.fixture
def models_dir(tmp_path):
    path = tmp_path / "data" / "models"
    path.mkdir(parents=True)
    return path


def test_the_catalogue_is_listed_without_a_server_and_without_models(run, tmp_path):
    done = run("models")
    assert done.exit_code == 0
    head, *rows = done.stdout.splitlines()
    assert head.split("\t") == ["Model", "Parameters", "GPU memory", "Remark", "Base", "Chat"]
    assert [row.split("\t")[0] for row in rows] == [entry.name for entry in CATALOGUE]
    assert "ChatGLM2-6B\t6B\t~14GB\tTuned for Chinese\t\tzai-org/chatglm2-6b" in rows
    assert f"No base model is in {tmp_path / 'data' / 'models'} yet" in done.stderr


def test_what_is_on_the_disk_is_listed_with_what_is_wrong(run, models_dir, tiny, monkeypatch):
    shutil.copytree(tiny, models_dir / "tiny")
    broken = shutil.copytree(tiny, models_dir / "org" / "broken")
    (broken / "tokenizer.json").unlink()
    rows = run("models").stdout.splitlines()[-2:]
    assert rows[0].split("\t")[:4] == ["org/broken", "LLaMA architecture", "99648", "float32"]
    assert "has no tokenizer" in rows[0]
    assert rows[1].split("\t") == ["tiny", "LLaMA architecture", "99648", "float32", "0.4 MiB", ""]


def test_the_list_as_json_has_the_wires_names(run, models_dir, tiny):
    path = shutil.copytree(tiny, models_dir / "Qwen3-8B")
    listed = json.loads(run("models", "--json").stdout)
    assert listed["local"][0]["baseModel"] == str(path)
    entry = next(entry for entry in listed["catalogue"] if entry["name"] == "Qwen3-8B")
    assert [variant["local"] for variant in entry["variants"]] == [None, str(path)]


def test_a_directory_is_inspected_wherever_it_is(run, tiny, monkeypatch):
    monkeypatch.chdir(tiny.parent)
    for given in (str(tiny), tiny.name, f"./{tiny.name}"):
        done = run("models", given)
        assert done.exit_code == 0, done.stderr
        told = dict(line.split("\t", 1) for line in done.stdout.splitlines())
        assert told["Directory"] == str(tiny)
        assert (told["Family"], told["Architecture"]) == ("LLaMA architecture", "LlamaForCausalLM")
        assert (told["Parameters"], told["Layers"], told["Dtype"]) == ("99648", "2", "float32")
        assert (told["Own chat template"], told["Prompt format"]) == ("yes", "template")
        assert (told["Stop tokens"], told["On disk"]) == ("<|im_end|>", "0.4 MiB")
        assert "Nothing is wrong with it" in done.stderr


def test_an_adapter_and_a_broken_directory_are_told_as_such(run, tmp_path):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"base_model_name_or_path": "/models/smol"}')
    done = run("models", str(adapter))
    assert "Family\tadapter, no base model" in done.stdout
    assert "its base is /models/smol" in done.stdout and "Nothing is wrong" not in done.stderr


def test_a_hub_id_that_is_not_here_is_told_from_the_catalogue(run):
    done = run("models", "THUDM/chatglm3-6b", "--json")
    assert json.loads(done.stdout)["catalogue"] == "ChatGLM3-6B"
    done = run("models", "THUDM/chatglm3-6b")
    assert done.exit_code == 0 and "is not on this machine" in done.stderr
    assert "Catalogue\tChatGLM3-6B" in done.stdout


@pytest.mark.parametrize("name", ["nobody/knows-it", "./nowhere", "/nowhere/at all"])
def test_a_model_that_nobody_knows_is_not_found(run, name):
    done = run("models", name)
    assert done.exit_code == 4 and "There is no base model" in done.stderr


def test_a_person_reads_a_table_a_series_in_their_language(run, models_dir, monkeypatch):
    from tunesmith.cli import terminal

    monkeypatch.setattr(terminal, "is_terminal", lambda: True)
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    monkeypatch.setenv("COLUMNS", "160")
    done = run("models")
    assert done.stdout.count("显存需求") == 3
    assert "新一代大模型" in done.stdout and "zai-org/chatglm3-6b-base" in done.stdout
