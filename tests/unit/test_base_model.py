import json
import os
import struct
import zipfile
from pathlib import Path

import pytest

from tests.tiny_models import make_tiny_model
from tests.unit.families.test_recognise import CHATGLM3 as RECOGNISED
from tunesmith import base_model
from tunesmith.base_model import (
    files_outside,
    inspect,
    link_problem,
    positions_of,
    problem_with,
)
from tunesmith.messages import catalogue

OUTSIDE = "field.base_model_file_outside"
CHATGLM3 = RECOGNISED | {"hidden_size": 4096, "torch_dtype": "float16"}


def safetensors(size=4):
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return struct.pack("<Q", len(header)) + header + b"\0" * size


@pytest.fixture
def model(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(safetensors())
    return tmp_path


def code(path):
    problem = problem_with(path, "baseModel")
    if problem is None:
        return None
    assert problem.field == "baseModel" and problem.code in catalogue("zh")
    return problem.code.removeprefix("field.base_model_")


def test_a_complete_directory_has_no_problem(model):
    assert code(model) is None


def test_what_is_missing_is_named(model, tmp_path):
    assert code(tmp_path / "none") == "missing"
    (model / "tokenizer.json").unlink()
    assert code(model) == "no_tokenizer"
    (model / "model.safetensors").unlink()
    assert code(model) == "no_weights"
    (model / "config.json").unlink()
    assert code(model) == "no_config"


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"model_type": 3}', "\xff"])
def test_a_configuration_that_is_none_is_refused(model, text):
    (model / "config.json").write_bytes(text.encode("latin-1"))
    assert code(model) == "bad_config"


@pytest.mark.parametrize("content", [b"", b"abc", safetensors()[:-2], safetensors(8), b"\xff" * 20])
def test_a_weights_file_that_was_cut_off_is_found(model, content):
    (model / "model.safetensors").write_bytes(content)
    assert code(model) == "bad_weights"


def test_a_shard_that_is_missing_is_named(model):
    (model / "model.safetensors").unlink()
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    (model / "model-1.safetensors").write_bytes(safetensors())
    assert problem_with(model, "baseModel").params["file"] == "model-2.safetensors"
    (model / "model-2.safetensors").write_bytes(safetensors())
    assert code(model) is None


def test_an_adapter_is_no_base_model(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "/models/x"}')
    assert problem_with(tmp_path, "baseModel").params["base"] == "/models/x"


def test_a_git_lfs_pointer_is_told_as_such(model):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 17\n"
    (model / "tokenizer.json").write_bytes(pointer)
    assert problem_with(model, "baseModel").params["path"].endswith("tokenizer.json")
    (model / "model.safetensors").write_bytes(pointer)
    assert code(model) == "lfs_pointer"
    assert problem_with(model, "baseModel").params["path"].endswith("model.safetensors")


def test_a_torch_file_that_was_cut_off_is_found(model, tmp_path):
    (model / "model.safetensors").unlink()
    file = model / "pytorch_model.bin"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" * 500)
    assert code(model) is None
    whole = file.read_bytes()
    for content in (whole[:-30], b""):
        file.write_bytes(content)
        assert code(model) == "bad_weights"
    file.write_bytes(b"\x80\x02 as torch saved before 1.6")
    assert code(model) is None


def test_a_shard_outside_the_directory_is_refused(model):
    (model / "model.safetensors").unlink()
    index = {"weight_map": {"a": "../../etc/model-1.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    assert code(model) == "bad_config"


def test_an_endless_configuration_is_not_read(model):
    with (model / "config.json").open("wb") as file:
        file.truncate(40 << 20)
    assert "are not read" in problem_with(model, "baseModel").params["reason"]


def test_chatglm_in_its_original_layout_is_a_base_model(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CHATGLM3))
    (tmp_path / "tokenizer.model").write_bytes(b"\n\x0e")
    (tmp_path / "tokenization_chatglm.py").write_text("raise SystemExit")
    shards = [f"pytorch_model-0000{n}-of-00002.bin" for n in (1, 2)]
    index = {
        "metadata": {"total_size": 12_487_168_064},
        "weight_map": {"a": shards[0], "b": shards[1]},
    }
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    for shard in shards:
        with zipfile.ZipFile(tmp_path / shard, "w") as archive:
            archive.writestr("data.pkl", b"")
    assert code(tmp_path) is None
    found = inspect(tmp_path)
    assert (found.family.name, found.architecture) == ("chatglm3", "ChatGLMModel")
    assert (found.parameters, found.parameters_estimated) == (6_243_584_032, True)
    assert (found.layers, found.hidden_size, found.vocabulary) == (28, 4096, 65024)
    assert (found.max_positions, found.dtype) == (8192, "float16")
    stops = ("</s>", "<|user|>", "<|observation|>")
    assert (found.prompt_format, found.stop_tokens) == ("chatglm3", stops)
    assert "gate_up_proj" in found.lora_targets and not found.problems


def test_a_hugging_face_cache_is_inside_though_made_of_links(tmp_path):
    cache = tmp_path / "hub" / "models--org--name"
    snapshot, blobs = cache / "snapshots" / "abc", cache / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "0123").write_text("{}")
    (snapshot / "config.json").symlink_to("../../blobs/0123")
    assert files_outside(snapshot, [tmp_path / "hub"]) is None
    (snapshot / "loop").symlink_to("loop")
    assert files_outside(snapshot, [tmp_path / "hub"]) is None
    (snapshot / "tokenizer.json").symlink_to("/etc/hostname")
    assert files_outside(snapshot, [tmp_path / "hub"]) == snapshot / "tokenizer.json"
    assert files_outside(snapshot, [tmp_path / "hub", Path("/etc").resolve()]) is None


def test_a_link_out_is_found_wherever_it_hides(tmp_path, model, monkeypatch):
    monkeypatch.setattr(base_model, "MOST_FILES", 1)  # those that other questions look at
    templates = model / "additional_chat_templates"
    templates.mkdir()
    assert link_problem(model, [tmp_path], "baseModel") is None
    for link in (model / "zzz.json", templates / "tool.jinja"):
        link.symlink_to("/etc/hostname")
        problem = link_problem(model, [tmp_path], "baseModel")
        assert (problem.code, problem.params["path"]) == (OUTSIDE, str(link))
        assert link_problem(model, None, "baseModel") is None
        link.unlink()
    assert link_problem(tmp_path / "nowhere", [tmp_path], "baseModel") is None


def test_a_directory_with_a_link_out_is_told_of_without_opening_its_files(model, tmp_path_factory):
    inside, outside = model, tmp_path_factory.mktemp("outside") / "secret.json"
    (inside / "config.json").rename(outside)
    (inside / "config.json").symlink_to(outside)
    assert inspect(inside).model_type == "llama"
    found = inspect(inside, [inside])
    assert [problem.code for problem in found.problems] == [OUTSIDE]
    assert (found.model_type, found.family.name, found.parameters) == (None, "generic", None)


def test_an_inspection_counts_what_a_real_directory_holds(tmp_path):
    from transformers import AutoModelForCausalLM

    path = make_tiny_model(tmp_path / "model", "qwen2")
    parameters = sum(
        each.numel() for each in AutoModelForCausalLM.from_pretrained(path).parameters()
    )
    found = inspect(path)
    assert (found.parameters, found.parameters_estimated) == (parameters, False)
    assert (found.family.name, found.model_type) == ("qwen2", "qwen2")
    assert found.architecture == "Qwen2ForCausalLM"
    assert (found.layers, found.hidden_size, found.max_positions) == (2, 64, 512)
    assert found.dtype == "float32" and found.size_bytes > 4 * parameters
    assert found.chat_template and found.prompt_format == "template"
    assert found.stop_tokens[0] == "<|im_end|>"
    assert found.quantization is None and not found.is_adapter and not found.problems


def test_without_a_template_the_familys_format_is_used(tmp_path):
    found = inspect(make_tiny_model(tmp_path / "a", "qwen2", chat_template=False))
    assert (found.chat_template, found.prompt_format) == (False, "qwen2")
    found = inspect(make_tiny_model(tmp_path / "b", "llama", chat_template=False))
    assert (found.prompt_format, found.stop_tokens) == ("plain", ("<|endoftext|>",))


def test_an_inspection_of_something_broken_tells_what_it_can(model, tmp_path):
    (model / "tokenizer.json").unlink()
    config = {"model_type": "llama", "num_hidden_layers": "many", "vocab_size": True,
              "architectures": "x", "quantization_config": {"quant_method": "gptq"}}  # fmt: skip
    (model / "config.json").write_text(json.dumps(config))
    found = inspect(model)
    assert [problem.code for problem in found.problems] == ["field.base_model_no_tokenizer"]
    assert (found.layers, found.vocabulary, found.architecture) == (None, None, None)
    assert (found.quantization, found.parameters_estimated) == ("gptq", True)
    nothing = inspect(tmp_path / "nowhere")
    assert nothing.problems[0].code == "field.base_model_missing"
    assert (nothing.family.name, nothing.parameters, nothing.size_bytes) == ("generic", None, 0)


def test_a_pipe_is_not_waited_for(model):
    os.mkfifo(model / "tokenizer_config.json")
    assert inspect(model).problems == ()


def test_frequencies_are_no_parameters(model):
    entries = {
        "model.embed_tokens.weight": {"dtype": "BF16", "shape": [3, 5], "data_offsets": [0, 30]},
        "model.layers.0.rotary.inv_freq": {"dtype": "F32", "shape": [2], "data_offsets": [30, 38]},
        "__metadata__": {"format": "pt"},
    }
    header = json.dumps(entries).encode()
    (model / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 38)
    found = inspect(model)
    assert (found.parameters, found.dtype) == (15, "bfloat16")


@pytest.mark.parametrize(
    ("config", "positions"),
    [
        ({"max_position_embeddings": 2048}, 2048),
        ({"seq_length": 32768}, 32768),  # ChatGLM's original name
        ({"n_positions": 1024}, 1024),
        ({}, None),
        (
            {
                "max_position_embeddings": 131072,  # LLaMA 3.1: its scaling is in it already
                "rope_scaling": {"factor": 8.0, "original_max_position_embeddings": 8192},
            },
            131072,
        ),
        (
            {
                "max_position_embeddings": 32768,  # as Qwen2.5's model card tells to add YaRN
                "rope_parameters": {"factor": 4.0, "original_max_position_embeddings": 32768},
            },
            131072,
        ),
        ({"max_position_embeddings": 64, "rope_scaling": {"factor": float("inf")}}, 64),
    ],
)
def test_positions_are_those_the_model_was_made_for(config, positions):
    assert positions_of(config) == positions
