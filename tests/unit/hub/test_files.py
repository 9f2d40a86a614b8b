import pytest

from tunesmith.hub.files import RemoteFile, problem, wanted


def chosen(*names):
    files = [RemoteFile(name, len(name), None, "u") for name in names]
    return {file.path for file in wanted(files)}


def test_safetensors_win_and_duplicates_are_left_out():
    shards = {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}
    index = "model.safetensors.index.json"
    others = ["pytorch_model.bin", "consolidated.00.pth", "consolidated.safetensors"]
    others += ["original/model.safetensors", "onnx/model.onnx", "model-q4.gguf", ".gitattributes"]
    found = chosen("config.json", index, *shards, *others)
    assert found == {"config.json", index, *shards}


def test_bin_is_taken_where_there_is_nothing_else():
    names = {"pytorch_model-00001-of-00001.bin", "pytorch_model.bin.index.json"}
    assert chosen(*names, "training_args.bin", "optimizer.bin") == names


def test_one_file_wins_over_shards_as_it_does_when_loaded():
    assert chosen("model.safetensors", "model-00001-of-00001.safetensors") == {"model.safetensors"}


def test_code_is_left_out_but_what_the_conversion_of_chatglm_reads():
    kept = {"modeling_chatglm.py", "tokenization_chatglm.py", "tokenizer.model", "LICENSE"}
    assert chosen(*kept, "modeling_x.py", "setup.py", "MODEL_CARD.pdf") == kept


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["model.safetensors", "tokenizer.json"], "hub_no_config"),
        (["config.json", "tokenizer.json", "model.gguf"], "hub_no_weights"),
        (["config.json", "model.safetensors"], "hub_no_tokenizer"),
        (["config.json", "pytorch_model.bin", "tokenizer.model"], None),
    ],
)
def test_what_keeps_a_repository_from_being_a_base_model(names, code):
    files = [RemoteFile(name, 1, None, "u") for name in names]
    assert problem(wanted(files)) == code
