import errno
import fcntl
import json
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from tests.tiny_chatglm import make_tiny_chatglm, tensors_of
from tunesmith.chatglm import cache
from tunesmith.chatglm.config import problem_at
from tunesmith.chatglm.convert import RECORD, convert, restore
from tunesmith.draft import draft, draft_of
from tunesmith.errors import Conflict, InvalidInput, RunFailure
from tunesmith.messages import sentence

VECTORS = Path("/work/shared/vectors/chatglm")


def codes(refused):
    return [problem.code for problem in refused.value.problems]


@pytest.mark.parametrize("name", ["chatglm2", "chatglm3", "glm4_base"])
def test_logits_are_those_of_the_original_code(name, tmp_path):
    if not VECTORS.is_dir():
        pytest.skip(f"{VECTORS} with the original code's logits is not on this machine")
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    done = convert(VECTORS / name, tmp_path / "native")
    assert [warning["code"] for warning in done.warnings] == ["chatglm_no_tokenizer"]
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "native").eval()
    reference = load_file(VECTORS / name / "reference.safetensors")

    def worst(ids, logits, mask=None, positions=None):
        with torch.no_grad():
            found = model(input_ids=ids, attention_mask=mask, position_ids=positions).logits
        seen = torch.ones_like(ids) if mask is None else mask
        return (found - logits).abs()[seen.bool()].max()

    differences = {
        case: worst(reference[f"ids_{case}"], reference[f"logits_{case}"]) for case in range(5)
    }
    # 20 tokens after the first of ids_2, one by one, with a cache there; all at once here.
    prompt = reference["ids_2"][:1]
    answered = torch.cat([prompt, reference["greedy"]], dim=1)
    with torch.no_grad():
        steps = model(input_ids=answered).logits[:, prompt.shape[1] - 1 : -1]
    differences["greedy"] = (steps - reference["greedy_logits"]).abs().max()
    generated = model.generate(prompt, max_new_tokens=20, do_sample=False, eos_token_id=None)
    assert torch.equal(generated[:, prompt.shape[1] :], reference["greedy"])
    for side in ("left", "right"):
        ids, mask = reference[f"ids_{side}"], reference[f"am_{side}"]
        positions = reference[f"pos_{side}"]
        differences[side] = worst(ids, reference[f"logits_{side}"], mask, positions)
        name = f"{side}_nopos"
        differences[name] = worst(ids, reference[f"logits_{name}"], mask)
    assert {case: float(d) for case, d in differences.items() if d > 5e-5} == {}


@pytest.mark.parametrize("layout", ["bin", "safetensors"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_there_and_back_gives_the_same_bits(layout, dtype, tmp_path):
    import torch

    source = make_tiny_chatglm(tmp_path / "original", layout=layout, dtype=dtype, shards=3)
    there = convert(source, tmp_path / "native")
    back = restore(tmp_path / "native", tmp_path / "back")
    assert (there.family, there.warnings) == (back.family, back.warnings) == ("chatglm3", ())
    if layout == "bin":
        parts = [torch.load(file, weights_only=True) for file in source.glob("*.bin")]
        expected = {name: values for part in parts for name, values in part.items()}
    else:
        expected = tensors_of(source)
    found = tensors_of(tmp_path / "back")
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].dtype == values.dtype
        assert torch.equal(found[name].view(torch.uint8), values.view(torch.uint8)), name
    for file in ("config.json", "tokenizer.model"):
        assert json.loads((tmp_path / "back/config.json").read_text()) == json.loads(
            (source / "config.json").read_text()
        )
        assert (tmp_path / "back" / file).is_file()


def test_without_the_record_of_a_conversion_the_way_back_computes_the_buffer(tmp_path):
    import torch

    source = make_tiny_chatglm(tmp_path / "original", dtype="float16", layout="safetensors")
    convert(source, tmp_path / "native")
    (tmp_path / "native" / RECORD).unlink()
    shutil.rmtree(tmp_path / "native/chatglm")
    done = restore(tmp_path / "native", tmp_path / "back")
    assert [warning["code"] for warning in done.warnings] == ["chatglm_no_tokenizer"]
    expected, found = tensors_of(source), tensors_of(tmp_path / "back")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], values) for name, values in expected.items())
    # And what it wrote can be converted again.
    convert(tmp_path / "back", tmp_path / "again")
    native, again = tensors_of(tmp_path / "native"), tensors_of(tmp_path / "again")
    assert all(torch.equal(native[name], values) for name, values in again.items())


def test_a_checkpoint_without_the_buffer_comes_back_without_it(tmp_path):
    source = make_tiny_chatglm(tmp_path / "original", inv_freq=False, shards=1)
    convert(source, tmp_path / "native")
    restore(tmp_path / "native", tmp_path / "back")
    assert "transformer.rotary_pos_emb.inv_freq" not in tensors_of(tmp_path / "back")


@pytest.mark.parametrize(
    ("family", "stops"),
    [("chatglm2", ["</s>"]), ("chatglm3", ["</s>", "<|user|>", "<|observation|>"])],
)
def test_plain_transformers_loads_everything(family, stops, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    source = make_tiny_chatglm(tmp_path / f"{family} 模型", family)
    convert(source, tmp_path / "native")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "native")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "native")
    assert type(model).__name__ == "GlmForCausalLM"
    assert model.dtype == torch.float32
    ends = GenerationConfig.from_pretrained(tmp_path / "native").eos_token_id
    assert tokenizer.convert_ids_to_tokens(ends) == stops
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is your name?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    assert tokenizer.convert_ids_to_tokens(ids["input_ids"][0][:2]) == ["[gMASK]", "sop"]
    assert model.generate(**ids, max_new_tokens=2, do_sample=False).shape[0] == 1


def test_older_transformers_find_base_and_dtype_too(tmp_path):
    source = make_tiny_chatglm(tmp_path / "original", "glm-4", dtype="bfloat16")
    convert(source, tmp_path / "native")
    config = json.loads((tmp_path / "native/config.json").read_text())
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] == 5_000_000
    assert config["torch_dtype"] == config["dtype"] == "bfloat16"


def test_a_ratio_that_divides_positions_is_told_from_one_that_multiplies_the_base(tmp_path):
    def rope(name, **config):
        convert(
            make_tiny_chatglm(tmp_path / name, "chatglm2", tokenizer=False, **config),
            tmp_path / f"{name}-native",
        )
        native = json.loads((tmp_path / f"{name}-native/config.json").read_text())
        return native["rope_parameters"]

    assert rope("a", rope_ratio=4)["rope_type"] == "linear"
    multiplied = rope("b", rope_ratio=4, _name_or_path="THUDM/chatglm3-6b-32k")
    assert (multiplied["rope_type"], multiplied["rope_theta"]) == ("default", 40_000)


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("pre_seq_len", 128, "chatglm_prefix"),
        ("quantization_bit", 4, "chatglm_quantized"),
        ("vision_config", {"hidden_size": 8}, "chatglm_vision"),
        ("position_encoding_2d", True, "chatglm_first"),
        ("rmsnorm", False, "chatglm_key"),
        ("multi_query_attention", False, "chatglm_key"),
        ("ffn_hidden_size", None, "chatglm_key_missing"),
        ("num_layers", "many", "chatglm_key"),
    ],
)
def test_what_the_native_class_cannot_express_is_refused_by_its_key(key, value, code, tmp_path):
    source = make_tiny_chatglm(tmp_path / "original", tokenizer=False, **{key: value})
    with pytest.raises(InvalidInput) as refused:
        convert(source, tmp_path / "native")
    assert codes(refused) == [f"field.{code}"]
    assert key in str(refused.value)
    assert not (tmp_path / "native").exists()
    found = problem_at(source, "baseModel")
    assert (found.field, found.code) == ("baseModel", f"field.{code}")
    assert key in sentence(found.code, "zh", found.params)


def test_a_good_or_another_kind_of_directory_has_no_problem(tmp_path):
    assert problem_at(make_tiny_chatglm(tmp_path / "good", tokenizer=False), "baseModel") is None
    (tmp_path / "llama").mkdir()
    (tmp_path / "llama/config.json").write_text('{"model_type": "llama"}')
    assert problem_at(tmp_path / "llama", "baseModel") is None
    with pytest.raises(InvalidInput) as refused:
        convert(tmp_path / "llama", tmp_path / "native")
    assert codes(refused) == ["field.chatglm_not_original"]


def break_missing(source):
    (source / "pytorch_model-00002-of-00002.bin").unlink()
    return "base_model_missing_shard"


def break_cut(source):
    file = source / "pytorch_model-00002-of-00002.bin"
    file.write_bytes(file.read_bytes()[:5000])
    return "base_model_bad_weights"


def break_shape(source):
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"ffn_hidden_size": 100}))
    return "chatglm_weight_shape"


def break_layers(source):
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"num_layers": 3}))
    return "chatglm_weight_missing"


def break_surplus(source):
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"num_layers": 1}))
    return "chatglm_weight_unknown"


def break_tokenizer(source):
    (source / "tokenizer.model").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    return "chatglm_tokenizer"


@pytest.mark.parametrize(
    "damage",
    [break_missing, break_cut, break_shape, break_layers, break_surplus, break_tokenizer],
)
def test_a_damaged_checkpoint_is_refused_and_nothing_is_left(damage, tmp_path):
    source = make_tiny_chatglm(tmp_path / "original")
    code = damage(source)
    with pytest.raises(InvalidInput) as refused:
        convert(source, tmp_path / "made" / "native")
    assert codes(refused) == [f"field.{code}"]
    assert "{" not in str(refused.value)
    made = tmp_path / "made"
    assert not made.exists() or not list(made.iterdir())


def test_pickled_code_is_never_run(tmp_path):
    import pickle

    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    source = make_tiny_chatglm(tmp_path / "original", shards=1)
    (source / "pytorch_model.bin").write_bytes(pickle.dumps({"a": Trap()}, protocol=2))
    with pytest.raises(InvalidInput) as refused:
        convert(source, tmp_path / "native")
    assert codes(refused) == ["field.base_model_bad_weights"]
    assert not (tmp_path / "ran").exists()


def test_a_tokenizer_larger_than_the_vocabulary_is_a_warning(tmp_path):
    source = make_tiny_chatglm(tmp_path / "original", padded_vocab_size=100)
    done = convert(source, tmp_path / "native")
    assert [warning["code"] for warning in done.warnings] == ["chatglm_tokenizer_larger"]
    generation = json.loads((tmp_path / "native/generation_config.json").read_text())
    assert generation["eos_token_id"] == [2]


def test_a_target_that_holds_something_is_refused_and_an_empty_one_is_filled(tmp_path):
    source = make_tiny_chatglm(tmp_path / "original", tokenizer=False)
    (tmp_path / "target").mkdir()
    (tmp_path / "target/mine").write_text("")
    with pytest.raises(InvalidInput) as refused:
        convert(source, tmp_path / "target")
    assert codes(refused) == ["field.output_not_empty"]
    (tmp_path / "target/mine").unlink()
    convert(source, tmp_path / "target")
    assert (tmp_path / "target/config.json").is_file()


def test_a_draft_is_one_process_s_and_what_a_killed_one_left_is_cleared(tmp_path):
    target = tmp_path / "target"
    draft_of(target).mkdir()
    (draft_of(target) / "left").write_text("x")
    with draft(target) as directory:
        assert list(directory.iterdir()) == []
        with pytest.raises(Conflict) as refused, draft(target):
            pass
        assert refused.value.code == "draft_busy"
    assert target.is_dir()


def test_too_little_space_is_told_before_anything_is_written(tmp_path, monkeypatch):
    source = make_tiny_chatglm(tmp_path / "original")
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, 1000))
    with pytest.raises(RunFailure) as refused:
        convert(source, tmp_path / "target")
    assert refused.value.code == "convert_no_space"
    assert list(tmp_path.iterdir()) == [source]


def test_a_disk_that_fills_meanwhile_is_told_and_nothing_is_left(tmp_path):
    target = tmp_path / "target"
    with pytest.raises(RunFailure) as failure, draft(target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert (failure.value.code, failure.value.params) == ("disk_full", {"path": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []


def test_a_task_s_conversion_is_made_once_and_again_when_the_original_changed(tmp_path):
    source = make_tiny_chatglm(tmp_path / "original", padded_vocab_size=100)
    first, done = cache.converted(source, tmp_path / "cache")
    assert first.parent == tmp_path / "cache/converted"
    made = (first / "config.json").stat().st_ino
    again, said = cache.converted(source, tmp_path / "cache")
    assert (again, said) == (first, done)
    assert done.warnings
    assert (first / "config.json").stat().st_ino == made
    config = source / "config.json"
    config.write_text(config.read_text() + "\n")
    other, _ = cache.converted(source, tmp_path / "cache")
    assert other != first


def test_originals_that_look_alike_from_outside_are_not_taken_for_one(tmp_path):
    """Equal names, sizes and times, as copies with kept times have; other weights."""
    directories = [tmp_path / place / "model" for place in ("one", "two")]
    source = make_tiny_chatglm(directories[0])
    shutil.copytree(source, directories[1])
    first, second = (cache.converted(each, tmp_path / "cache")[0] for each in directories)
    assert first != second


def test_what_a_killed_conversion_left_in_the_cache_goes_with_the_next_one(tmp_path):
    source = make_tiny_chatglm(tmp_path / "original")
    root = tmp_path / "cache/converted"
    left, busy = (draft_of(root / name) for name in ("other-0123", "busy-4567"))
    for each in (left, busy):
        each.mkdir(parents=True)
        (each / "model.safetensors").write_bytes(b"x")
    with (root / ".busy-4567.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as the process that converts to it holds it
        cache.converted(source, tmp_path / "cache")
        assert not left.exists() and busy.exists()


@pytest.mark.parametrize("family", ["chatglm2", "chatglm3", "glm-4"])
def test_a_directory_with_a_fast_tokenizer_only_is_converted_with_it(family, tmp_path):
    from transformers import AutoTokenizer

    source = make_tiny_chatglm(tmp_path / "a", family)
    convert(source, tmp_path / "b")
    (source / "tokenizer.model").unlink()
    shutil.copy(tmp_path / "b/tokenizer.json", source)
    done = convert(source, tmp_path / "c")
    assert done.warnings == ()
    one, other = (AutoTokenizer.from_pretrained(tmp_path / name) for name in "bc")
    text = "[gMASK] sop sophisticated 你好 <|user|>"
    assert one(text).input_ids == other(text).input_ids
    assert one.get_vocab() == other.get_vocab() and one.chat_template == other.chat_template
    assert (one.eos_token_id, one.pad_token_id) == (other.eos_token_id, other.pad_token_id)
    assert restore(tmp_path / "c", tmp_path / "d").warnings == ()
    assert (tmp_path / "d/tokenizer.json").read_bytes() == (source / "tokenizer.json").read_bytes()


def test_a_fast_tokenizer_without_the_family_s_tokens_is_refused(tmp_path):
    from tests.tiny_models import make_tokenizer

    source = make_tiny_chatglm(tmp_path / "a", "chatglm3", tokenizer=False)
    make_tokenizer().save_pretrained(source)
    with pytest.raises(InvalidInput) as refused:
        convert(source, tmp_path / "b")
    assert codes(refused) == ["field.chatglm_tokenizer"]
    (source / "tokenizer.json").write_text("{")
    with pytest.raises(InvalidInput) as refused:
        convert(source, tmp_path / "b")
    assert codes(refused) == ["field.chatglm_tokenizer"]
