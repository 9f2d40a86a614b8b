import json
import struct

import pytest

from tunesmith.base_model import problem_with
from tunesmith.messages import catalogue


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
